// The head of every page: its name, links, key, language and theme.

import { read } from "./api.js";
import { byId, make } from "./dom.js";
import { isAccepted, isRemembered, key, onKey, onKeyAccepted, onKeyRefused, setKey } from "./key.js";
import { THEMES, chooseTheme, theme } from "./theme.js";
import { chooseLanguage, currentLanguage, learn, onLanguage, say, translate } from "./words.js";
import { words } from "./words.en-zh.js";

learn(words);

// Why the panel of the key is open: a word, or "" if nothing is wrong.
let complaint = "";

// Fills the `<header id="head">` of a page; *here* is the path of the page. *asksForKey*: the head opens the panel of the key once
// the gateway refuses it; a page that asks by itself says false.
export function showHeader(here, { asksForKey = true } = {}) {
  const render = () => {
    // What is written again must not lose the keyboard, or close under the person's eyes.
    const { id } = document.activeElement;
    const isOpen = byId("key-menu")?.open || complaint !== "";
    byId("head").replaceChildren(...parts(here));
    byId("key-menu").open = isOpen;
    if (id) byId(id)?.focus();
  };
  render();
  onLanguage(render);
  onKey(() => {
    const hadKeyboard = byId("key-menu").contains(document.activeElement);
    complaint = "";
    byId("key-menu").open = false;
    render();
    if (hadKeyboard) byId("key-summary").focus();
  });
  onKeyAccepted(() => byId("key-summary").replaceChildren(nameOfKey()));
  onKeyRefused(() => byId("key-summary").replaceChildren(nameOfKey()));
  if (asksForKey) onKeyRefused(() => {
    const word = key() ? "keyIsRefused" : "keyIsNeeded";
    // A key that is being typed stays.
    if (word === complaint && byId("key-menu").open) return;
    complaint = word;
    render();
    // Someone who is typing elsewhere is told, and not taken away.
    if (!document.activeElement.matches("textarea, input")) byId("key").focus();
  });
  document.addEventListener("keydown", closeMenu);
  document.addEventListener("pointerdown", closeMenu);
  translate(document);
}

function closeMenu(event) {
  const menu = byId("key-menu");
  if (!menu.open || (event.type === "keydown" ? event.key !== "Escape" : menu.contains(event.target))) return;
  const hadKeyboard = menu.contains(document.activeElement);
  menu.open = false;
  if (hadKeyboard) byId("key-summary").focus();
}

function parts(here) {
  const links = [["/", "playground"], ["/admin", "administration"], ["/docs", "apiDocs"]].map(([path, word]) =>
    make("a", { href: path, "aria-current": path === here && "page" }, say(word)));
  return [
    make("a", { class: "brand", href: "/" }, make("img", { src: "/web/favicon.svg", alt: "", width: 24, height: 24 }), "Image Gateway"),
    make("nav", { "aria-label": say("pages") }, links),
    make("div", { class: "choices" }, keyChoice(), languageChoice(), themeChoice()),
  ];
}

function keyChoice() {
  const input = make("input", { id: "key", type: "password", autocomplete: "off", value: key(), spellcheck: "false", "aria-invalid": complaint !== "" && "true" });
  const about = make("p", { class: "hint" });
  const explain = () => about.replaceChildren(say(remember.checked ? "aboutRememberedKey" : "aboutKey"));
  const remember = make("input", { id: "remember", type: "checkbox", checked: isRemembered(), oninput: explain });
  explain();
  const keep = (event) => {
    event.preventDefault();
    setKey(input.value, { remember: remember.checked });
  };
  const owner = make("p", { id: "key-owner", role: "status" });
  const panel = make("form", { class: "key-panel", method: "dialog", onsubmit: keep },
    complaint && make("p", { class: "bad", role: "alert" }, say(complaint)),
    owner,
    make("label", {}, say("yourKey"), input),
    make("label", { class: "check" }, remember, say("rememberKey")),
    about,
    make("button", { class: "primary" }, say("useKey")),
    key() && make("button", { type: "button", onclick: () => setKey("") }, say("forgetKey")));
  const menu = make("details", { class: "menu", id: "key-menu" }, make("summary", { id: "key-summary" }, nameOfKey()), panel);
  menu.addEventListener("toggle", () => menu.open && showOwner(owner));
  return menu;
}

function nameOfKey() {
  return say(isAccepted() ? "keyIsSet" : "key");
}

// Says whose key it is: what is ordered with it is charged to a team.
async function showOwner(place) {
  if (!isAccepted()) return place.replaceChildren();
  const { key: hint, team } = await read("/v1/usage").catch(() => ({}));
  if (!team) return;
  const isOperators = hint === null && team === "admin";
  place.replaceChildren(isOperators ? say("ownerIsGateway") : say("ownerOfKey", { hint, team }));
}

function languageChoice() {
  const options = [["en", "English"], ["zh", "简体中文"]].map(([value, name]) =>
    make("option", { value, lang: value === "zh" ? "zh-CN" : "en", selected: value === currentLanguage() }, name));
  return make("select", { id: "language", "aria-label": say("language"), onchange: (event) => chooseLanguage(event.target.value) }, options);
}

function themeChoice() {
  const options = THEMES.map((value) => make("option", { value, selected: value === theme() }, say(`theme.${value}`)));
  return make("select", { id: "theme", "aria-label": say("theme"), onchange: (event) => chooseTheme(event.target.value) }, options);
}
