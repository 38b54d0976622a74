// Says in a person's words why the gateway refused, and what to do.

import { make } from "../../page/dom.js";
import { key, setKey } from "../../page/key.js";
import { say, sayIfKnown } from "../../page/words.js";

// Kinds that another key helps against, and those that time may.
const NEED_KEY = new Set(["unknownKey", "expiredKey", "noAdmin", "openMode", "teamClosed"]);
const MAY_PASS = new Set(["offline", "noState", "fault"]);

// Returns the kind of a `Refused`. Of a key's faults the gateway has one code, so its message tells them apart.
export function kindOf({ status, code, message }) {
  if (status === 0) return "offline";
  if (status === 401) return message.includes("expired") ? "expiredKey" : "unknownKey";
  if (code === "insufficient_permissions") {
    if (message.includes("GATEWAY_ADMIN_KEY")) return "openMode";
    return message.includes("closed") ? "teamClosed" : "noAdmin";
  }
  if (code === "state_unavailable") return "noState";
  return status >= 500 ? "fault" : "refused";
}

// Returns a card that explains *error*; *again* repeats what failed.
export function troubleCard(error, again) {
  const kind = kindOf(error);
  return make("section", { class: "card trouble", role: "alert" },
    make("h2", {}, say(`trouble.${kind}`)),
    make("p", {}, (kind === "refused" && sayIfKnown(`wrong.${error.param}`)) || say(`trouble.${kind}.advice`)),
    NEED_KEY.has(kind) && keyForm(),
    MAY_PASS.has(kind) && make("button", { class: "primary", onclick: again }, say("tryAgain")),
    ownWords(error));
}

// Returns the card for a person who has given no key.
export function keyQuestion() {
  return make("section", { class: "card trouble" },
    make("h2", {}, say("keyQuestion")), make("p", {}, say("keyQuestion.advice")), keyForm(), make("p", { class: "hint" }, say("keyQuestion.none")));
}

// Returns the gateway's own sentence, which is English, and the id for reports; nothing if no answer came.
export function ownWords(error) {
  if (error.status === 0) return null;
  return make("details", {}, make("summary", {}, say("ownWords")),
    make("p", { lang: "en" }, error.message),
    error.requestId && make("p", { class: "hint" }, `x-request-id: ${error.requestId}`));
}

function keyForm() {
  const input = make("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const remember = make("input", { type: "checkbox" });
  const use = (event) => {
    event.preventDefault();
    if (input.value.trim() && input.value.trim() !== key()) setKey(input.value, { remember: remember.checked });
    else input.focus();
  };
  return make("form", { class: "row", onsubmit: use, novalidate: true },
    make("label", {}, say("adminKey"), input), make("button", { class: "primary" }, say("useKey")),
    make("label", { class: "check" }, remember, say("rememberKey")));
}
