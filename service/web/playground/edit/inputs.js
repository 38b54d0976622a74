// Owns the images that an order changes, in their order, with what is painted on each.
//
// The first is the one whose painting counts. What a model does not take is told before anything is sent.

import { make } from "../../page/dom.js";
import { learn, onLanguage, say } from "../../page/words.js";
import { fitImage, readImage } from "./fit.js";
import { maskOf } from "./mask.js";
import { paint } from "./painter.js";
import { Painting } from "./painting.js";
import { thumbnail } from "./thumbnail.js";
import { words } from "./words.en-zh.js";

learn(words);

// The most that any model takes, as long as none is chosen.
const MOST = 16;

// Fills *container*. Calls `onChange({ added })` after each change; *added* tells if images came.
//
// `ready()` resolves when all images are read and fit the model: before it, `images()` and `problem()` may be of a moment ago.
// `problem()` is why they cannot be sent, in words, or null.
export function createInputs(container, { onChange }) {
  const entries = [];
  let rules = null;
  let operation = "edit";
  let message = null;
  let work = Promise.resolve();

  const file = make("input", { type: "file", multiple: true, accept: "image/*", hidden: true, onchange: takeChosen });
  const choose = make("button", { type: "button", dataset: { input: "choose" }, onclick: () => file.click() });
  const invitation = make("span", { class: "hint" });
  const taken = make("p", { class: "hint" });
  const list = make("ol", { class: "inputs" });
  const status = make("p", { role: "status" });
  const legend = make("legend");
  container.append(make("fieldset", { class: "inputs-field" }, legend, make("div", { class: "drop" }, choose, file, invitation), taken, list, status));
  onLanguage(render);
  render();

  // One piece of work after another: images are read, and fitted, in the order in which they came.
  function queue(task) {
    work = work.then(task).catch((error) => reportError(error));
    return work;
  }

  function add(...blobs) {
    return queue(async () => {
      const most = rules?.max_images || MOST;
      const room = Math.max(0, most - entries.length);
      message = null;
      let added = 0;
      for (const blob of blobs.slice(0, room)) {
        const image = await readImage(blob, blob.name ?? "");
        if (image) entries.push({ image, painting: new Painting(), asked: { square: null, smaller: false }, fit: null, fittedTo: "" });
        else message = ["unreadable", blob.name ?? ""];
        if (image) added += 1;
      }
      if (blobs.length > room) message = ["tooManyInputs", most, blobs.length - room];
      else if (added > 0) message ??= ["inputsAdded", added];
      await refit({ added: added > 0 });
    });
  }

  // Makes what is sent of each image anew, if its rules or its place have changed.
  async function refit({ added = false } = {}) {
    for (const [index, entry] of entries.entries()) {
      const isEdited = operation === "edit" && index === 0;
      const isPainted = isEdited && !entry.painting.isEmpty;
      const needs = { needsAlpha: isEdited && !isPainted && Boolean(rules?.needs_alpha), isPainted };
      const fittedTo = JSON.stringify([rules, entry.asked, needs]);
      if (entry.fittedTo === fittedTo) continue;
      forgetFit(entry);
      entry.fit = await fitImage(entry.image, rules, entry.asked, needs);
      entry.fittedTo = fittedTo;
    }
    render();
    onChange({ added });
  }

  function forgetFit({ image, fit }) {
    if (fit && fit.url !== image.url) URL.revokeObjectURL(fit.url);
  }

  function forget(entry) {
    forgetFit(entry);
    URL.revokeObjectURL(entry.image.url);
  }

  const acts = {
    move(entry, by) {
      const index = entries.indexOf(entry);
      entries.splice(index, 1);
      entries.splice(index + by, 0, entry);
      return queue(refit);
    },
    remove(entry) {
      entries.splice(entries.indexOf(entry), 1);
      forget(entry);
      message = null;
      return queue(refit);
    },
    ask(entry, asked) {
      Object.assign(entry.asked, asked);
      return queue(refit);
    },
    async paint(entry) {
      await paint(entry.fit, entry.painting);
      return queue(refit);
    },
    unpaint(entry) {
      entry.painting = new Painting();
      return queue(refit);
    },
  };

  function render() {
    const canPaint = operation === "edit" && rules !== null;
    legend.textContent = say(operation === "vary" ? "imageToVary" : "inputImages");
    choose.textContent = say("chooseImages");
    // Fingers neither drop nor paste.
    invitation.textContent = matchMedia("(any-pointer: fine)").matches ? say("orDropThem") : "";
    container.dataset.dropHere = say("dropHere");
    taken.textContent = rules ? say("takes", rules) : say("takesNoImages");
    status.textContent = message ? say(...message) : "";
    // The list shows what was added; a screen reader says it.
    status.className = message === null || message[0] === "inputsAdded" ? "unseen" : "bad";
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.input : null;
    const fitted = entries.filter((entry) => entry.fit);
    list.replaceChildren(...fitted.map((entry, index) => thumbnail(entry, { index, count: fitted.length, canPaint: canPaint && index === 0 }, acts)));
    if (focused) focusAgain(focused);
  }

  // Takes the keyboard back to the button *name*, or to another one of the same image, or to the first of all.
  function focusAgain(name) {
    const buttons = [...list.querySelectorAll("[data-input]")];
    const image = name.slice(name.indexOf("-"));
    const found = buttons.find(({ dataset }) => dataset.input === name) ?? buttons.find(({ dataset }) => dataset.input.endsWith(image));
    (found ?? choose).focus();
  }

  function takeChosen() {
    add(...file.files);
    file.value = "";
  }

  return {
    add,
    ready: () => work,
    images: () => entries.filter((entry) => entry.fit).map((entry) => entry.fit.blob),
    async mask() {
      await work;
      const first = entries[0];
      return first && operation === "edit" ? maskOf(first.painting, first.fit.frame) : null;
    },
    problem() {
      if (entries.length === 0) return say("noInput");
      if (rules === null) return say("takesNoImages");
      if (entries.length > rules.max_images) return say("removeSome", rules.max_images, entries.length - rules.max_images);
      const index = entries.findIndex((entry) => entry.fit?.problem);
      return index < 0 ? null : say("problemOf", index + 1, say(...entries[index].fit.problem));
    },
    clear() {
      return queue(() => {
        entries.splice(0).forEach(forget);
        message = null;
        return refit();
      });
    },
    // *model* is the chosen model's `inputs`, or null if it takes none; *chosenOperation* is `edit` or `vary`.
    setRules(model, chosenOperation = "edit") {
      const chosen = model && chosenOperation === "vary" ? { ...model, max_images: 1, needs_alpha: false } : model;
      if (chosenOperation === operation && JSON.stringify(chosen) === JSON.stringify(rules)) return work;
      [rules, operation] = [chosen, chosenOperation];
      return queue(refit);
    },
  };
}
