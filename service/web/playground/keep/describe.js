// Says in words what a record is: its cost, its parameters, its link, and a name for its file.

import { money } from "../../page/format.js";
import { say, sayIfKnown } from "../../page/words.js";

// Returns the words for the cost of an image. A cached or shared one costs nothing, whatever the model's price.
export function costWords({ realm, cache, costMicrousd }) {
  const origin = { hit: "fromCache", coalesced: "shared" }[cache];
  if (realm === "sandbox") return origin ? `${say("testImage")} · ${say(origin)}` : say("testImage");
  if (origin) return say("free", say(origin));
  return costMicrousd === null || costMicrousd === undefined ? say("priceUnknown") : money(costMicrousd);
}

// Returns `dall-e-3`, or `dall-e-3 → gpt-image-2.6-flare` where another model made the image.
export function modelWords({ order, sentModel }) {
  if (!order.model) return sentModel ?? "";
  return sentModel && sentModel !== order.model ? `${order.model} → ${sentModel}` : order.model;
}

// Returns the parameters as `[name, value]`, both as texts.
export function parameterWords({ order, width, height }) {
  const { size, ...others } = order.parameters ?? {};
  const shown = width && height ? `${width}×${height}` : size;
  const named = Object.entries(others).filter(([, value]) => value !== null && value !== undefined && typeof value !== "object");
  return [...(shown ? [[say("parameter.size"), shown]] : []), ...named.map(([name, value]) => [sayIfKnown(`parameter.${name}`) ?? name, String(value)])];
}

// Returns a text for the image, for people who do not see it.
export function titleOf({ order }) {
  return order.prompt || say(order.operation === "vary" ? "aVariation" : "anImage");
}

// Returns the name of the file: the prompt's letters and digits, of any script.
export function fileName({ order, index, format }) {
  const words = (order.prompt ?? "").normalize("NFC").match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  const stem = [...(words.join("-") || "image")].slice(0, 60).join("").replace(/-$/, "");
  const place = order.n > 1 ? `-${(index ?? 0) + 1}` : "";
  return `${stem}${place}.${format === "jpeg" ? "jpg" : format}`;
}

// Returns the instant, in milliseconds since 1970, until which a link works: Infinity if it has no end, null if the link does not say.
export function linkEnd(url) {
  const end = new URL(url, location.href).searchParams.get("exp");
  if (end === null || !/^\d+$/.test(end)) return null;
  return end === "0" ? Infinity : Number(end) * 1000;
}
