// Light, dark, or as the system has it: the person's choice for all pages.

import { forever } from "./stores.js";

const CHOICE = "image-gateway.theme";
export const THEMES = ["auto", "light", "dark"];

const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = [];

document.documentElement.dataset.theme = theme();
system.addEventListener("change", tell);

export function theme() {
  const chosen = forever.getItem(CHOICE);
  return THEMES.includes(chosen) ? chosen : "auto";
}

export function chooseTheme(name) {
  forever.setItem(CHOICE, name);
  document.documentElement.dataset.theme = name;
  tell();
}

export function isDark() {
  return theme() === "dark" || (theme() === "auto" && system.matches);
}

// Calls *listener* after each change, of the choice or of the system.
export function onTheme(listener) {
  listeners.push(listener);
}

function tell() {
  for (const listener of listeners) listener();
}
