// Shows one image of an order: what is sent of it, what is painted on it, and what can be done with it.

import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";
import { sizeOf } from "./fit.js";
import { createOverlay, shareInWords } from "./overlay.js";

const PIXELS = 60_000;
const SMALLER = [["makeSmaller", { smaller: true }]];
const names = new WeakMap();
let last = 0;

// Returns the item of *entry*; *acts* are `move`, `remove`, `ask`, `paint` and `unpaint`.
export function thumbnail(entry, { index, count, canPaint }, acts) {
  const { image, fit, painting } = entry;
  const [width, height] = sizeOf(fit.frame);
  const label = say("inputNumber", index + 1, count, image.name, width, height);
  const view = make("div", { class: "input-view" }, make("img", { src: fit.url, alt: label, draggable: "false" }));
  const canBePainted = canPaint && !fit.problem;
  const painted = canBePainted ? paintedPart(view, fit, painting) : null;
  return make("li", {}, view,
    make("div", { class: "input-words" },
      make("p", { class: "hint" }, `${index + 1}. ${image.name || image.format.toUpperCase()} · ${width} × ${height}`),
      fit.notes.map((note) => make("p", { class: "hint" }, say(...note))),
      fit.problem && make("p", { class: "bad" }, say(...fit.problem)),
      painted && make("p", { class: "hint" }, painted)),
    make("div", { class: "input-acts" },
      canBePainted && act(entry, "paint", say(painting.isEmpty ? "paint" : "paintMore"), () => acts.paint(entry)),
      canBePainted && !painting.isEmpty && act(entry, "unpaint", say("removePainting"), () => acts.unpaint(entry)),
      fixes(entry, acts),
      index > 0 && act(entry, "earlier", "↑", () => acts.move(entry, -1), say("moveEarlier"), label),
      index < count - 1 && act(entry, "later", "↓", () => acts.move(entry, 1), say("moveLater"), label),
      act(entry, "remove", say("removeInput"), () => acts.remove(entry), say("removeInput"), label)));
}

function paintedPart(view, fit, painting) {
  if (painting.isEmpty) return say(fit.isItsMask ? "holesChange" : "wholeChanges");
  const overlay = createOverlay(fit.frame, PIXELS);
  overlay.draw(painting);
  view.append(overlay.canvas);
  return shareInWords(overlay.share());
}

// What the person may agree to, and the way back.
function fixes(entry, acts) {
  const { asked, fit } = entry;
  const offers = { notSquare: [["cutToSquare", { square: "cut" }], ["padToSquare", { square: "pad" }]], tooManyBytes: SMALLER, tooManyPixels: SMALLER };
  const offered = offers[fit.problem?.[0]] ?? [];
  const isChanged = fit.notes.some(([word]) => ["wasCut", "wasPadded", "wasMadeSmaller"].includes(word));
  return [
    ...offered.map(([word, agreed]) => act(entry, word, say(word), () => acts.ask(entry, agreed))),
    isChanged && (asked.square || asked.smaller) && act(entry, "original", say("useOriginal"), () => acts.ask(entry, { square: null, smaller: false })),
  ];
}

// A button. Its name in `data-input` lets it keep the focus when the list is written again.
function act(entry, name, text, onclick, title = null, of = "") {
  if (!names.has(entry)) names.set(entry, (last += 1));
  return make("button", { type: "button", dataset: { input: `${name}-${names.get(entry)}` }, title, "aria-label": title && `${title}: ${of}`, onclick }, text);
}
