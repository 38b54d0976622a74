// Tells in words what is left of each limit.

import { make } from "../common/dom.js";
import { fromNow, money, number } from "../common/format.js";
import { say, sayIfKnown } from "../common/words.js";

const LONGEST_FIRST = ["budget_per_month_microusd", "images_per_day", "images_in_flight", "images_per_min", "requests_per_min"];

// Returns the limits, as `GET /v1/usage` lists them, behind a line about the tightest; null without limits.
export function limitList(limits, { isOpen = false } = {}) {
  if (limits.length === 0) return null;
  const [tightest] = [...limits].sort((one, other) => share(one) - share(other) || rank(one) - rank(other));
  return make("details", { class: "limits", open: isOpen },
    make("summary", {}, sentence(tightest)),
    make("ul", {}, limits.map((limit) => make("li", { class: limit.remaining <= 0 && "bad" }, sentence(limit), returns(limit)))));
}

// Returns the limits that have nothing left, with the time of their return.
export function usedUp(limits) {
  return limits.filter(({ remaining }) => remaining <= 0).map((limit) => make("li", {}, sentence(limit), returns(limit)));
}

// What takes longest to come back is told first.
function rank({ name }) {
  const place = LONGEST_FIRST.indexOf(name);
  return place < 0 ? LONGEST_FIRST.length : place;
}

function share({ remaining, limit }) {
  return limit > 0 ? remaining / limit : 0;
}

function sentence({ name, scope, unit, remaining, limit }) {
  const write = unit === "microusd" ? money : number;
  const owner = sayIfKnown(`scope.${scope}`) ?? scope;
  return say("left", sayIfKnown(`limit.${name}`) ?? name, write(Math.max(0, remaining)), write(limit), owner);
}

function returns({ resets_at: at, remaining, limit }) {
  if (at === null || remaining >= limit) return null;
  return make("span", { class: "hint" }, ` ${say("returns", fromNow((new Date(at) - Date.now()) / 1000))}`);
}
