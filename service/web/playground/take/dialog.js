// Shows the code of an order, a tab for each language.

import { copyText } from "../../page/clipboard.js";
import { openDialog } from "../../page/dialog.js";
import { make } from "../../page/dom.js";
import { key } from "../../page/key.js";
import { learn, say } from "../../page/words.js";
import { inputFiles } from "./call.js";
import { snippets } from "./snippets.js";
import { words } from "./words.en-zh.js";

learn(words);

const NAMES = { curl: "curl", python: "Python", node: "Node.js", java: "Java" };
let chosen = "curl";

// Opens the dialog for *order*, as `snippets` takes it.
export function showCode(order) {
  const texts = snippets(order, { base: location.origin, needsKey: key() !== "" });
  const code = make("code", {});
  const panel = make("pre", { id: "code-panel", role: "tabpanel", tabindex: 0 }, code);
  const shells = make("p", { class: "hint" }, say("codeForShells"));
  const copied = make("span", { class: "hint", role: "status" });
  const tabs = Object.entries(NAMES).map(([name, label]) =>
    make("button", { type: "button", role: "tab", id: `code-${name}`, "aria-controls": panel.id, dataset: { name }, onclick: () => choose(name) }, label));

  function choose(name) {
    chosen = name;
    for (const tab of tabs) {
      const isChosen = tab.dataset.name === name;
      tab.setAttribute("aria-selected", isChosen);
      tab.tabIndex = isChosen ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `code-${name}`);
    code.textContent = texts[name];
    copied.textContent = "";
    shells.hidden = name !== "curl";
  }

  const list = make("div", { role: "tablist", "aria-label": say("languages"), onkeydown: (event) => walk(event, tabs, choose) }, tabs);
  const files = inputFiles(order).map((file) => ({ ...file, href: URL.createObjectURL(file.blob) }));
  choose(chosen);
  const dialog = openDialog(say("codeTitle"), { kind: "code" },
    list, panel,
    make("div", { class: "row" },
      make("button", { type: "button", class: "primary", onclick: async () => {
        copied.textContent = say((await copyText(texts[chosen])) ? "codeCopied" : "codeNotCopied");
      } }, say("copyCode")), copied),
    shells,
    key() && make("p", { class: "hint" }, say("codeNeedsKey")),
    files.length > 0 && make("p", { class: "hint" }, say("codeNeedsFiles"), files.flatMap(({ name, href }) => [" ", make("a", { href, download: name }, name)])));
  dialog.addEventListener("close", () => files.forEach(({ href }) => URL.revokeObjectURL(href)));
}

// Moves by arrows, Home and End, as tabs do everywhere.
function walk(event, tabs, choose) {
  const place = tabs.indexOf(event.target);
  const next = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: -1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  const tab = tabs.at(next % tabs.length);
  choose(tab.dataset.name);
  tab.focus();
}
