// Speaks the language of the person: English or 简体中文, by the browser's own, or as chosen.
//
// A page gives its words once: `learn({ en, zh })`, two objects with the same names. A word is a text, or a function of values:
// `images: (n) => (n === 1 ? "1 image" : `${n} images`)`. tests/browser compares the names of both languages.
//
// Static text of a page has `data-words="name"`, its attributes `data-words-title`, `data-words-placeholder` or
// `data-words-label` (aria-label). A part that writes text itself listens with `onLanguage` and writes it again.

import { forever } from "./stores.js";

const CHOICE = "image-gateway.language";
const TAGS = { en: "en", zh: "zh-CN" };
const ATTRIBUTES = { wordsTitle: "title", wordsPlaceholder: "placeholder", wordsLabel: "aria-label" };

const known = { en: {}, zh: {} };
const listeners = [];
let language = choose();

export function learn({ en, zh }) {
  Object.assign(known.en, en);
  Object.assign(known.zh, zh);
}

// Returns the word *name* with its values.
export function say(name, ...values) {
  const word = known[language][name];
  if (word === undefined) throw new Error(`There is no word '${name}'.`);
  return typeof word === "function" ? word(...values) : word;
}

// Returns the word *name*, or undefined: for names that a server invents, such as codes of errors.
export function sayIfKnown(name, ...values) {
  return name in known[language] ? say(name, ...values) : undefined;
}

export function currentLanguage() {
  return language;
}

// The tag of the language for `Intl` and `lang`.
export function languageTag() {
  return TAGS[language];
}

// Calls *listener* after each change of the language.
export function onLanguage(listener) {
  listeners.push(listener);
}

export function chooseLanguage(name) {
  language = name;
  forever.setItem(CHOICE, name);
  translate(document);
  for (const listener of listeners) listener();
}

// Writes the static words of *root*.
export function translate(root) {
  document.documentElement.lang = TAGS[language];
  for (const element of root.querySelectorAll("[data-words]")) element.textContent = say(element.dataset.words);
  for (const [key, attribute] of Object.entries(ATTRIBUTES)) {
    const selector = `[data-${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}]`;
    for (const element of root.querySelectorAll(selector)) element.setAttribute(attribute, say(element.dataset[key]));
  }
}

function choose() {
  const chosen = forever.getItem(CHOICE);
  if (chosen in TAGS) return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}
