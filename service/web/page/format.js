// Writes money, numbers and times for people, in their language.

import { languageTag } from "./words.js";

// Returns micro-dollars as dollars: four digits after the point below ten cents, two above.
export function money(microusd) {
  const dollars = microusd / 1e6;
  const digits = dollars !== 0 && Math.abs(dollars) < 0.1 ? 4 : 2;
  const options = { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(languageTag(), options).format(dollars);
}

export function number(value) {
  return new Intl.NumberFormat(languageTag()).format(value);
}

// Returns a share (0 to 1) in whole percent.
export function percent(share) {
  return new Intl.NumberFormat(languageTag(), { style: "percent" }).format(share);
}

// Returns an instant (milliseconds since 1970, or ISO 8601) as date and time.
export function moment(at) {
  return new Intl.DateTimeFormat(languageTag(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(at));
}

// Returns a day (`2026-11-30`, UTC) as a date.
export function day(text) {
  return new Intl.DateTimeFormat(languageTag(), { dateStyle: "medium", timeZone: "UTC" }).format(new Date(text));
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

// Returns a time from now in words: "in 3 minutes", "2 days ago".
export function fromNow(seconds) {
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? UNITS.at(-1);
  return new Intl.RelativeTimeFormat(languageTag(), { numeric: "auto" }).format(Math.round(seconds / size), unit);
}
