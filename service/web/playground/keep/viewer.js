// Shows an image as large as the screen allows; arrows lead to its neighbours.

import { openDialog } from "../../page/dialog.js";
import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";
import { costWords, modelWords, parameterWords, titleOf } from "./describe.js";

// Opens the viewer at *record*. *neighbours* has `newer(record)` and `older(record)`, which return a record, a promise of
// one, or undefined at the end.
export function openViewer(record, neighbours = {}) {
  let current = record;
  const image = make("img", {});
  const words = make("figcaption", { "aria-live": "polite" });
  const newer = make("button", { type: "button", onclick: () => step("newer") }, "‹ ", say("newer"));
  const older = make("button", { type: "button", onclick: () => step("older") }, say("older"), " ›");

  const show = (shown) => {
    current = shown;
    URL.revokeObjectURL(image.src);
    Object.assign(image, { src: URL.createObjectURL(shown.blob), alt: titleOf(shown) });
    const parameters = parameterWords(shown).map(([name, value]) => `${name} ${value}`);
    words.replaceChildren(
      make("p", { class: "prompt" }, titleOf(shown)),
      shown.revisedPrompt && shown.revisedPrompt !== shown.order.prompt ? make("p", { class: "hint" }, say("revisedPrompt", shown.revisedPrompt)) : "",
      make("p", { class: "hint" }, [modelWords(shown), ...parameters, costWords(shown)].filter(Boolean).join(" · ")));
  };
  const step = async (direction) => {
    const next = await neighbours[direction]?.(current);
    if (next) show(next);
  };

  show(record);
  const dialog = openDialog(say("image"), { kind: "viewer" },
    make("figure", {}, image, words),
    neighbours.older && make("div", { class: "row" }, newer, older));
  dialog.addEventListener("keydown", ({ key }) => {
    if (key === "ArrowLeft") step("newer");
    if (key === "ArrowRight") step("older");
  });
  dialog.addEventListener("close", () => URL.revokeObjectURL(image.src));
}
