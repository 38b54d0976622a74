// What the browser stores: `forever` beyond this visit, `forTab` until the tab is closed. Where it refuses, as with cookies off, both
// last until the page is closed.

class Kept {
  #values = new Map();

  getItem(name) {
    return this.#values.get(name) ?? null;
  }

  setItem(name, value) {
    this.#values.set(name, String(value));
  }

  removeItem(name) {
    this.#values.delete(name);
  }
}

function open(name) {
  try {
    return window[name];
  } catch {
    return new Kept();
  }
}

export const forever = open("localStorage");
export const forTab = open("sessionStorage");
