// Tells briefly that something is done, on the screen and to screen readers.

import { make } from "../../page/dom.js";

const SHOWN_MS = 6000;

const place = make("p", { class: "notice", role: "status" });
document.body.append(place);
let timer = 0;

export function notify(text) {
  place.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => place.replaceChildren(), SHOWN_MS);
}
