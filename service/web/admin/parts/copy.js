// Offers to copy a field.

import { copyText } from "../../page/clipboard.js";
import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";
import { tell } from "./tell.js";

// Returns a button that copies the value of *field*, an input or a textarea.
export function copyButton(field) {
  return make("button", { type: "button", onclick: async () => {
    tell(say((await copyText(field.value)) ? "copied" : "notCopied"));
  } }, say("copy"));
}
