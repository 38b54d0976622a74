// Makes the controls of forms.

import { make } from "../../page/dom.js";

// Returns a list to choose from; *options* are [value, text].
export function choice(options, chosen, attributes = {}) {
  return make("select", attributes, options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
}

// Returns a field for a name, with suggestions.
export function suggested(names, value, attributes = {}) {
  const list = make("datalist", { id: `names-${Math.random().toString(36).slice(2)}` }, names.map((name) => make("option", { value: name })));
  const input = make("input", { value, list: list.id, autocomplete: "off", spellcheck: "false", autocapitalize: "none", ...attributes });
  return { input, list };
}

// Returns the name in a field. Names have small letters, so that "Shop" is meant as "shop".
export function nameIn(input) {
  return input.value.trim().toLowerCase();
}

export function plain(value = "", attributes = {}) {
  return make("input", { value, autocomplete: "off", spellcheck: "false", autocapitalize: "none", ...attributes });
}
