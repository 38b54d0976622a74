// Shows dialogs. They close by Esc, by their own button and by a click beside them; then focus returns to where it was.

import { make } from "./dom.js";
import { say } from "./words.js";

let count = 0;

// Shows a dialog with *title*, and returns its element. *kind* is a class, *attributes* are others, such as `role`.
export function openDialog(title, { kind, ...attributes }, ...children) {
  count += 1;
  const id = `dialog-${count}`;
  const shut = make("button", { type: "button", class: "shut", "aria-label": say("close"), onclick: () => dialog.close() }, "×");
  const dialog = make("dialog", { class: `dialog ${kind}`, "aria-labelledby": id, ...attributes }, make("header", {}, make("h2", { id }, title), shut), ...children);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Asks before something that cannot be undone; returns true if the person agrees to *yes*, the name of the act.
export function askFirst({ title, text, yes }) {
  return new Promise((resolve) => {
    const agree = make("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, yes);
    const refuse = make("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, say("cancel"));
    const body = make("p", { id: `dialog-text-${count + 1}` }, text);
    const dialog = openDialog(title, { kind: "ask", role: "alertdialog", "aria-describedby": body.id }, body, make("div", { class: "row end" }, refuse, agree));
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
  });
}
