// Asks the gateway, as any client does: with the key of the person, and with an error for every refusal.

import { key, reportAcceptedKey, reportRefusedKey } from "./key.js";

// A refusal or failure. *code*, *param* and *message* are the envelope's; *status* is 0 if no answer came, and *code* then
// `offline`. *retryAfterS* is the time until a repeat may succeed, or null. *imagesKept* is the number of finished images that a
// repeat finds. *requestId* is for reports.
export class Refused extends Error {
  constructor({ status = 0, code = "offline", param = null, message = "", type = "", retryAfterS = null, imagesKept = 0, requestId = "" }) {
    super(message);
    Object.assign(this, { status, code, param, type, retryAfterS, imagesKept, requestId });
  }
}

// Sends a request and returns its response, whose status is a success. *json* is a body, *form* a FormData.
// Throws `Refused`, or the reason of *signal*.
export async function ask(path, { method = "GET", json, form, headers = {}, signal } = {}) {
  const used = key();
  const sent = { ...headers, ...(used && { authorization: `Bearer ${used}` }) };
  if (json !== undefined) sent["content-type"] = "application/json";
  let response;
  try {
    const body = json === undefined ? form : JSON.stringify(json);
    response = await fetch(path, { method, headers: sent, body, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused({ message: error.message });
  }
  if (!response.ok) throw await refusal(response);
  reportAcceptedKey(used);
  return response;
}

// Returns the JSON of an answer.
export async function read(path, options) {
  return (await ask(path, options)).json();
}

async function refusal(response) {
  if (response.status === 401) reportRefusedKey();
  const { error = {} } = await response.json().catch(() => ({}));
  return refusalOf(error, response);
}

// Returns the error of an envelope's *error*, which a stream sends after its status.
export function refusalOf(error, response) {
  const retry = response.headers.get("retry-after");
  return new Refused({
    status: response.status,
    code: error.code ?? error.type ?? "",
    param: error.param ?? null,
    type: error.type ?? "",
    message: error.message ?? `HTTP ${response.status}`,
    retryAfterS: retry === null ? null : Number(retry),
    imagesKept: error.images_kept ?? 0,
    requestId: response.headers.get("x-request-id") ?? "",
  });
}
