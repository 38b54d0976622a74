// Keeps the key: in this tab until it is closed, and beyond only if the person asks for it.

const NAME = "image-gateway.key";
const listeners = [];

export function key() {
  return sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME) ?? "";
}

export function isRemembered() {
  return localStorage.getItem(NAME) !== null;
}

export function setKey(text, { remember = false } = {}) {
  const trimmed = text.trim();
  for (const [store, keeps] of [[sessionStorage, true], [localStorage, remember]]) {
    if (trimmed && keeps) store.setItem(NAME, trimmed);
    else store.removeItem(NAME);
  }
  for (const listener of listeners) listener();
}

export function onKey(listener) {
  listeners.push(listener);
}
