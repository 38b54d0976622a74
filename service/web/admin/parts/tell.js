// Tells what was done, in the line that screen readers read aloud.

import { byId } from "../../page/dom.js";

export function tell(text) {
  byId("told").textContent = text;
}
