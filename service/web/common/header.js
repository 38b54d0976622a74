// The head of every page: its name, links, key, language and theme.

import { byId, make } from "./dom.js";
import { isRemembered, key, onKey, setKey } from "./key.js";
import { THEMES, chooseTheme, theme } from "./theme.js";
import { chooseLanguage, currentLanguage, learn, onLanguage, say, translate } from "./words.js";
import { words } from "./words.en-zh.js";

learn(words);

// Fills the `<header id="head">` of a page; *here* is the path of the page.
export function showHeader(here) {
  const render = () => byId("head").replaceChildren(...parts(here));
  render();
  onLanguage(render);
  onKey(render);
  translate(document);
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
  const input = make("input", { id: "key", type: "password", autocomplete: "off", value: key(), spellcheck: "false" });
  const remember = make("input", { id: "remember", type: "checkbox", checked: isRemembered() });
  const keep = (event) => {
    event.preventDefault();
    setKey(input.value, { remember: remember.checked });
  };
  const panel = make("form", { class: "key-panel", method: "dialog", onsubmit: keep },
    make("label", {}, say("yourKey"), input),
    make("label", { class: "check" }, remember, say("rememberKey")),
    make("p", { class: "hint" }, say("aboutKey")),
    make("button", { class: "primary" }, say("useKey")));
  return make("details", { class: "menu", id: "key-menu" }, make("summary", {}, say(key() ? "keyIsSet" : "key")), panel);
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
