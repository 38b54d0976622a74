// The page for admins: a section for each subject, with a URL of its own (`#keys`).
//
// A section is { element, load(), render() }: *load* asks the gateway and may throw `Refused`, *render* writes what was loaded
// in the current language. How to add one: a module, a row of `SECTIONS`, and its word `section.<name>`.

import { Refused } from "../page/api.js";
import { byId, make } from "../page/dom.js";
import { showHeader } from "../page/header.js";
import { key, onKey } from "../page/key.js";
import { learn, onLanguage, say } from "../page/words.js";
import { createKeys } from "./access/keys.js";
import { createPolicies } from "./access/policies.js";
import { createTeams } from "./access/teams.js";
import { createAudit } from "./audit/audit.js";
import { createModels } from "./models/models.js";
import { tell } from "./parts/tell.js";
import { keyQuestion, troubleCard } from "./parts/trouble.js";
import { createSpend } from "./spend/spend.js";
import { words } from "./words.en-zh.js";

const SECTIONS = {
  spend: createSpend,
  keys: createKeys,
  teams: createTeams,
  policies: createPolicies,
  models: createModels,
  audit: createAudit,
};
const opened = new Map(); // Sections by name; those of one key.
let latest = 0; // Counts what was asked for: answers to an earlier section or key come too late.
let shown = () => ""; // Makes the content of the page again, for another language.

learn(words);
showHeader("/admin", { asksForKey: false });
show();
addEventListener("hashchange", show);
onLanguage(renderAgain);
onKey(() => {
  opened.clear();
  show();
});

function nameOfSection() {
  const name = location.hash.slice(1);
  return Object.hasOwn(SECTIONS, name) ? name : Object.keys(SECTIONS)[0];
}

async function show() {
  const turn = ++latest;
  const name = nameOfSection();
  showNavigation(name);
  tell("");
  if (!key()) {
    put(() => keyQuestion());
    return;
  }
  const section = opened.get(name) ?? SECTIONS[name]();
  if (opened.has(name)) put(() => section.element);
  else put(() => make("p", { class: "hint" }, say("loading")));
  try {
    await section.load();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (turn === latest) put(() => troubleCard(error, show));
    return;
  }
  if (turn !== latest) return;
  opened.set(name, section);
  section.render();
  put(() => section.element);
}

function put(content) {
  shown = content;
  byId("section").replaceChildren(content());
}

function renderAgain() {
  const name = nameOfSection();
  showNavigation(name);
  tell("");
  opened.get(name)?.render();
  put(shown);
}

function showNavigation(current) {
  document.title = `${say(`section.${current}`)} · Image Gateway`;
  const links = byId("sections");
  if (links.children.length === 0) links.append(...Object.keys(SECTIONS).map((name) => make("a", { href: `#${name}` })));
  for (const link of links.children) {
    const name = link.hash.slice(1);
    link.textContent = say(`section.${name}`);
    if (name === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}
