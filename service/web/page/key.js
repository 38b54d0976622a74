// Keeps the key: in this tab until it is closed, and beyond only if the person asks for it. A page keeps a key of its own if its
// `<html data-key>` names one, as that of admins does: a key that opens everything is no key to order with.

import { forever, forTab } from "./stores.js";

const NAME = document.documentElement.dataset.key ?? "image-gateway.key";
const listeners = { changed: [], refused: [], accepted: [] };

// The key of which the gateway has accepted a request.
let accepted = "";

export function key() {
  return forTab.getItem(NAME) ?? forever.getItem(NAME) ?? "";
}

export function isRemembered() {
  return forever.getItem(NAME) !== null;
}

export function setKey(text, { remember = false } = {}) {
  const trimmed = text.trim();
  for (const [store, keeps] of [[forTab, true], [forever, remember]]) {
    if (trimmed && keeps) store.setItem(NAME, trimmed);
    else store.removeItem(NAME);
  }
  for (const listener of listeners.changed) listener();
}

export function onKey(listener) {
  listeners.changed.push(listener);
}

export function isAccepted() {
  return key() !== "" && key() === accepted;
}

// Tells all who listen with `onKeyAccepted` that the gateway has answered to *used*, once for each key.
export function reportAcceptedKey(used) {
  if (used === "" || used === accepted) return;
  accepted = used;
  for (const listener of listeners.accepted) listener();
}

export function onKeyAccepted(listener) {
  listeners.accepted.push(listener);
}

// Tells all who listen with `onKeyRefused` that the gateway wants a key, or another one.
export function reportRefusedKey() {
  accepted = "";
  for (const listener of listeners.refused) listener();
}

export function onKeyRefused(listener) {
  listeners.refused.push(listener);
}
