// Opens forms and questions in dialogs.

import { Refused } from "../../page/api.js";
import { make } from "../../page/dom.js";
import { say, sayIfKnown } from "../../page/words.js";
import { kindOf, ownWords } from "./trouble.js";

// A mistake found before anything was sent: *param* names the field, *word* says it.
export class Mistake extends Error {
  constructor(param, word) {
    super(word);
    this.param = param;
    this.word = word;
  }
}

// Asks before something that cannot be undone by a click. Resolves to true or false.
export async function isSure(question, consequence, yes) {
  const refused = make("button", { type: "button", onclick: () => dialog.close() }, say("cancel"));
  const accepted = make("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, yes);
  const dialog = dialogOf(question, make("p", {}, consequence), make("div", { class: "buttons" }, refused, accepted));
  return (await closed(dialog)) === "yes";
}

// Opens a form. *fields* are [{ name, label, control, hint, isWide }], *send* sends it. Resolves to the answer of *send*, or to null if
// the person leaves; a refusal is said beside the field that it names, and the form stays.
export async function openForm({ title, fields, aside, submit, send }) {
  let answer = null;
  const rows = fields.map(fieldRow);
  const general = make("div", { class: "bad", role: "alert" });
  const sending = make("button", { class: "primary" }, submit);
  const sent = async (event) => {
    event.preventDefault();
    for (const row of rows) row.mark(null);
    general.replaceChildren();
    sending.disabled = true;
    try {
      answer = await send();
      dialog.close();
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Mistake)) throw error;
      showFault(error, rows, general);
    } finally {
      sending.disabled = false;
    }
  };
  const dialog = dialogOf(title, make("form", { onsubmit: sent, novalidate: true },
    rows.map((row) => row.element), aside, general,
    make("div", { class: "buttons" },
      make("button", { type: "button", onclick: () => dialog.close() }, say("cancel")), sending)));
  fields.find(({ control }) => !control.readOnly).control.autofocus = true;
  await closed(dialog);
  return answer;
}

let latest = 0; // Numbers the ids of fields and titles.

function fieldRow({ name, label, control, hint, isWide }) {
  const id = `field-${++latest}`;
  const fault = make("span", { class: "bad", id: `${id}-fault` });
  const about = hint && make("span", { class: "hint", id: `${id}-hint` }, hint);
  control.id ||= id;
  control.setAttribute("aria-describedby", hint ? `${fault.id} ${about.id}` : fault.id);
  const isGroup = control.matches("fieldset");
  const element = make("div", { class: isWide ? "wide field" : "field" }, !isGroup && make("label", { for: control.id }, label), control, about, fault);
  return {
    name,
    element,
    mark(text) {
      fault.textContent = text ?? "";
      if (text === null) control.removeAttribute("aria-invalid");
      else {
        if (!isGroup) control.setAttribute("aria-invalid", "true");
        control.focus();
      }
    },
  };
}

function showFault(error, rows, general) {
  const row = rows.find((each) => error.param !== null && each.name === error.param);
  const text = error instanceof Mistake ? say(error.word) : sayIfKnown(`wrong.${error.param}`) ?? error.message;
  if (row) {
    row.mark(text);
    return;
  }
  const kind = kindOf(error);
  general.replaceChildren(...[make("p", {}, say(`trouble.${kind}`)), kind !== "refused" && make("p", {}, say(`trouble.${kind}.advice`)), ownWords(error)].filter(Boolean));
  general.querySelector("details")?.setAttribute("open", "");
}

function dialogOf(title, ...content) {
  const heading = make("h2", { id: `field-${++latest}` }, title);
  return make("dialog", { "aria-labelledby": heading.id }, heading, content);
}

function closed(dialog) {
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}
