// Builds elements. Text is always set as text: nothing that a person or a provider wrote is read as markup.

// Returns an element: `make("a", { href, class: "x", onclick }, "text", child)`. `on…` are listeners, `dataset` an object;
// false, null and undefined leave an attribute out.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name in PROPERTIES) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Those whose attribute is only the first value.
const PROPERTIES = { value: true, checked: true, selected: true, textContent: true };

export function byId(id) {
  return document.getElementById(id);
}
