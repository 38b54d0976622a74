// The span of days (UTC) that a person chooses.

import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";
import { choice } from "../parts/choices.js";

const DAY_MS = 86_400_000;
const PRESETS = ["week", "month", "lastMonth", "own"];

// Returns the first and last day of *preset*, as `2026-11-30`.
export function daysOf(preset, now = new Date()) {
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  const today = isoDay(now);
  if (preset === "week") return { from: isoDay(now.getTime() - 6 * DAY_MS), to: today };
  if (preset === "lastMonth") return { from: isoDay(Date.UTC(year, month - 1, 1)), to: isoDay(Date.UTC(year, month, 0)) };
  return { from: isoDay(Date.UTC(year, month, 1)), to: today };
}

// Returns every day from *from* to *to*.
export function eachDay({ from, to }) {
  const days = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += DAY_MS) days.push(isoDay(at));
  return days;
}

// Returns { value() -> { from, to }, controls() -> elements in the current language }; *changed* is called after a choice.
export function createSpan(changed) {
  let preset = "month";
  let own = daysOf("month");

  const value = () => (preset === "own" ? inOrder(own) : daysOf(preset));

  function controls() {
    const dates = ["from", "to"].map((end) => make("label", { hidden: preset !== "own" }, say(`span.${end}`),
      make("input", { type: "date", value: own[end], onchange: (event) => pick(end, event.target.value) })));
    const list = choice(PRESETS.map((name) => [name, say(`span.${name}`)]), preset, {
      onchange: () => {
        if (list.value === "own") own = value();
        preset = list.value;
        for (const [i, end] of ["from", "to"].entries()) {
          dates[i].hidden = preset !== "own";
          dates[i].querySelector("input").value = own[end];
        }
        changed();
      },
    });
    return [make("label", {}, say("span"), list), ...dates];
  }

  function pick(end, day) {
    if (!day) return;
    own = { ...own, [end]: day };
    changed();
  }

  return { value, controls };
}

function inOrder({ from, to }) {
  return from <= to ? { from, to } : { from: to, to: from };
}

function isoDay(at) {
  return new Date(at).toISOString().slice(0, 10);
}
