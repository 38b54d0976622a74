// Writes instants for people: how long ago, with the exact time on hover.

import { make } from "../../page/dom.js";
import { fromNow, moment } from "../../page/format.js";

// *atS* is in seconds since 1970.
export function ago(atS) {
  const at = new Date(atS * 1000);
  return make("time", { datetime: at.toISOString(), title: `${moment(at)} (${at.toISOString().slice(0, 19)}Z)` }, fromNow(atS - Date.now() / 1000));
}
