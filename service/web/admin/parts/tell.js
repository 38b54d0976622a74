// Tells what was done, in the line that screen readers read aloud.

import { byId } from "../../common/dom.js";

export function tell(text) {
  byId("told").textContent = text;
}
