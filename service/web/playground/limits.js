// Tells in words what is left of each limit.

import { make } from "../page/dom.js";
import { fromNow, money, number, percent } from "../page/format.js";
import { say, sayIfKnown } from "../page/words.js";

const LONGEST_FIRST = ["budget_per_month_microusd", "images_per_day", "images_in_flight", "images_per_min", "requests_per_min"];

// Returns the limits, as `GET /v1/usage` lists them, behind a line about the tightest; null without limits. Test images, of the
// *realm* "sandbox", use budgets up as if they were paid: that is told without sums.
export function limitList(limits, realm, { isOpen = false } = {}) {
  if (limits.length === 0) return null;
  const [tightest] = [...limits].sort((one, other) => share(one) - share(other) || rank(one) - rank(other));
  return make("details", { class: "limits", open: isOpen },
    make("summary", {}, sentence(tightest, realm)),
    make("ul", {}, limits.map((limit) => make("li", { class: limit.remaining <= 0 && "bad" }, sentence(limit, realm), returns(limit)))));
}

// Returns the limits that an order of *n* images does not fit into, with the time of their return.
export function tooTight(limits, realm, n) {
  return limits.filter((limit) => limit.remaining < needed(limit, n)).map((limit) => make("li", {}, sentence(limit, realm), returns(limit)));
}

// Returns the number of images that the limits leave right now, if it is below *n* and not 0; otherwise null.
export function imagesLeft(limits, n) {
  const left = Math.min(...limits.map(({ unit, remaining }) => (unit === "images" ? remaining : remaining > 0 ? n : 0)));
  return left > 0 && left < n ? left : null;
}

// Budgets are told once nothing is left: what an order takes of them is known to the gateway alone.
function needed({ unit }, n) {
  return unit === "images" ? n : 1;
}

// What takes longest to come back is told first.
function rank({ name }) {
  const place = LONGEST_FIRST.indexOf(name);
  return place < 0 ? LONGEST_FIRST.length : place;
}

function share({ remaining, limit }) {
  return limit > 0 ? remaining / limit : 0;
}

function sentence({ name, scope, unit, remaining, limit }, realm) {
  const what = sayIfKnown(`limit.${name}`) ?? name;
  const owner = sayIfKnown(`scope.${scope}`) ?? scope;
  const rest = Math.max(0, remaining);
  if (unit === "microusd" && realm === "sandbox") return say("shareLeft", what, percent(rest / limit), owner);
  const write = unit === "microusd" ? money : number;
  return say("left", what, write(rest), write(limit), owner);
}

function returns({ resets_at: at, remaining, limit }) {
  if (at === null || remaining >= limit) return null;
  return make("span", { class: "hint" }, ` ${say("returns", fromNow((new Date(at) - Date.now()) / 1000))}`);
}
