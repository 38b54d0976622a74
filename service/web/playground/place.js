// Places an order, and tells of its images as they come.

import { ask, refusalOf, Refused } from "../page/api.js";
import { events } from "./events.js";

const PATHS = {
  generate: "/v1/images/generations/stream",
  edit: "/v1/images/edits/stream",
  vary: "/v1/images/variations/stream",
};
const KINDS = { svg: "image/svg+xml" };

// Sends *order* and calls back: `onStart({ requestId, sentModel })`, `onPartial({ index, number, blob })`, `onImage(made)`.
// Resolves once all images came; rejects with `Refused`, or the reason of *signal*.
export async function place(order, { signal, onStart, onPartial, onImage }) {
  const headers = cacheOf(order);
  const response = await ask(PATHS[order.operation], { method: "POST", headers, signal, ...bodyOf(order) }).catch(withoutAnswer);
  const requestId = response.headers.get("x-request-id") ?? "";
  const sentModel = response.headers.get("x-model-sent") ?? order.model;
  onStart({ requestId, sentModel });
  let missing = order.n;
  try {
    for await (const { name, data } of events(response.body)) {
      if (name === "error") throw refusalOf(data.error, response);
      if (name.endsWith(".partial_image")) onPartial({ index: data.index, number: data.partial_image_index, blob: blobOf(data) });
      if (name.endsWith(".completed")) {
        onImage(describe(data, sentModel));
        missing -= 1;
      }
    }
  } catch (error) {
    if (signal?.aborted || error instanceof Refused) throw error;
    missing = Infinity;
  }
  if (missing > 0) throw new Refused({ code: "stream_cut", requestId });
}

// No answer to an order is more than none to a question: it may have arrived.
function withoutAnswer(error) {
  if (error instanceof Refused && error.status === 0) throw new Refused({ code: "order_unanswered" });
  throw error;
}

// Returns the header for images that are new, or were made since the instant *since*; other orders take any cached ones.
function cacheOf({ fresh, since }) {
  if (fresh) return { "cache-control": "no-cache" };
  return since ? { "cache-control": `max-age=${Math.floor((Date.now() - since) / 1000)}` } : {};
}

// Returns the fields of *order* as a request of JSON has them.
export function fieldsOf({ operation, model, prompt, n, parameters, previews }) {
  const text = operation === "vary" ? {} : { prompt };
  return { model, ...text, n, ...parameters, ...(previews > 0 && { stream: true, partial_images: previews }) };
}

function bodyOf(order) {
  if (order.operation === "generate") return { json: fieldsOf(order) };
  const form = new FormData();
  for (const [name, value] of Object.entries(fieldsOf(order))) form.append(name, value);
  for (const image of order.images) form.append("image", image, "image");
  if (order.mask) form.append("mask", order.mask, "mask.png");
  return { form };
}

function describe(data, sentModel) {
  const blob = blobOf(data);
  const [width, height] = data.size.split("x").map(Number);
  return {
    index: data.index,
    blob,
    format: data.output_format,
    width,
    height,
    // Null if the store did not take it.
    url: data.url ?? null,
    name: data.url ? new URL(data.url, location.href).pathname.split("/").at(-1) : null,
    costMicrousd: data.cost_microusd,
    cache: data.cache,
    sentModel,
    revisedPrompt: data.revised_prompt ?? null,
  };
}

function blobOf({ b64_json: text, output_format: format }) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: KINDS[format] ?? `image/${format}` });
}
