// Says in a person's words what went wrong, what to change and when to try again.

import { make } from "../page/dom.js";
import { fromNow } from "../page/format.js";
import { learn, say, sayIfKnown } from "../page/words.js";
import { words } from "./failurewords.en-zh.js";

learn(words);

// Failures that the same order meets again.
const LASTING = ["content_policy_violation", "moderation_blocked", "model_not_found", "model_unpriced", "insufficient_quota",
  "insufficient_permissions", "backend_misconfigured", "backend_blocked"];

// Failures that pass by themselves. A stream that has begun cannot tell when.
const PASSING = ["overloaded", "upstream_rate_limited", "upstream_overloaded", "upstream_unreachable", "rate_limit_exceeded",
  "draining", "state_unavailable", "store_unavailable", "disk_full"];

// Returns `{ title, advice, when, detail, canRepeat }` of a `Refused`, all texts but the last. *detail* is the gateway's own
// message, in English, and "" if it is the title.
export function describeFailure(refused) {
  const { code, type, param, status, message, retryAfterS, imagesKept } = refused;
  const isClosed = code === "insufficient_permissions" && message.includes("closed");
  const known = (isClosed ? say("failure.team_closed") : undefined) ?? sayIfKnown(`failure.${code}.${type}`) ?? sayIfKnown(`failure.${code}`) ?? (param && sayIfKnown("failure.field"));
  const isOfTheOrder = status === 400 || status === 403 || status === 413 || status === 422;
  const kept = imagesKept > 0 && say("advice.kept", imagesKept);
  return {
    title: known ?? (message || say("failure.unknown")),
    advice: kept || (sayIfKnown(`advice.${code}.${type}`) ?? sayIfKnown(`advice.${code}`) ?? ""),
    when: whenToRepeat(code, retryAfterS),
    // Without an answer, the message is the browser's.
    detail: known && status !== 0 ? message : "",
    canRepeat: !isOfTheOrder && !LASTING.includes(code),
  };
}

function whenToRepeat(code, retryAfterS) {
  if (retryAfterS !== null) return say("tryAgainAt", fromNow(Math.max(1, Math.ceil(retryAfterS))));
  return PASSING.includes(code) ? say("tryAgainSoon") : "";
}

// Returns what to say beside the field that is wrong: in the person's words, and in the gateway's, which are English.
export function describeField({ code, param, message }) {
  const known = sayIfKnown(`wrong.${param}`) ?? sayIfKnown(`wrong.${code}`);
  return [known && `${known} `, make("span", { lang: "en", class: "hint" }, message)];
}
