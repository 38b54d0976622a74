// Copies text. Browsers offer the clipboard only to pages of HTTPS and of this machine; elsewhere the text is selected and copied.

import { make } from "../../common/dom.js";
import { say } from "../../common/words.js";
import { tell } from "./tell.js";

// Returns a button that copies the value of *field*, an input or a textarea.
export function copyButton(field) {
  return make("button", { type: "button", onclick: async () => {
    field.select();
    const copied = navigator.clipboard ? await navigator.clipboard.writeText(field.value).then(() => true, () => false) : document.execCommand("copy");
    tell(say(copied ? "copied" : "notCopied"));
  } }, say("copy"));
}
