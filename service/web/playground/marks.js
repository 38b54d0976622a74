// Marks the field that is wrong, with a message beside it.

import { make } from "../page/dom.js";

// Names that the same part of the form has in requests.
const SAME = { "image[]": "image", images: "image", mask: "image" };

// Marks the field of the parameter *param*; returns false if the form has none.
export function mark(form, param, ...message) {
  const name = SAME[param] ?? param;
  const controls = [...form.querySelectorAll("[data-param]")].filter((each) => each.dataset.param === name && isShown(each));
  if (controls.length === 0) return false;
  unmark(form, name);
  const id = `wrong-${name}`;
  (controls[0].closest(".field") ?? controls[0]).append(make("p", { id, class: "bad wrong", dataset: { of: name } }, message));
  for (const control of controls.filter((each) => each.matches("input, select, textarea"))) {
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", id);
  }
  return true;
}

// Removes the mark of *param*, or all.
export function unmark(form, param) {
  for (const message of form.querySelectorAll(".wrong")) {
    if (param && message.dataset.of !== param) continue;
    for (const control of form.querySelectorAll(`[aria-describedby="${CSS.escape(message.id)}"]`)) {
      control.removeAttribute("aria-invalid");
      control.removeAttribute("aria-describedby");
    }
    message.remove();
  }
}

// Takes the keyboard to the first field that is marked.
export function focusMarked(form) {
  const first = form.querySelector("[aria-invalid], .wrong");
  // Images have no control of their own: they begin with a button.
  (first?.matches(".wrong") ? first.parentElement.querySelector("button") : first)?.focus();
}

function isShown(element) {
  return element.offsetParent !== null;
}
