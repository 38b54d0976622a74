// Keeps the orders that are under way, with their images: a page that is reloaded, closed or dropped by a phone can fetch what was
// made of them. Warns before the page is left while one runs. Without storage it only warns.

import { committed, result } from "./keep/disk.js";

const NAME = "image-gateway.underway";
const STORE = "orders";
const REPLY_MS = 300;
// As long as a person may be expected to remember.
const DAY_MS = 86_400_000;

export function openUnderway() {
  return new Underway();
}

class Underway {
  // Ids of the orders that this page runs.
  #running = new Set();
  #isLeaving = false;
  #otherTabs = new BroadcastChannel(NAME);
  #database = open().catch(() => null);

  constructor() {
    this.#otherTabs.onmessage = ({ data }) => data === "which" && this.#otherTabs.postMessage([...this.#running]);
    // What ends because the page is left has not ended.
    addEventListener("pagehide", () => (this.#isLeaving = true));
    addEventListener("pageshow", () => (this.#isLeaving = false));
  }

  // Notes that *order* begins; returns the function to call when it has ended and its images are kept.
  begin(order) {
    const id = `${Date.now()}-${Math.random()}`;
    if (this.#running.size === 0) addEventListener("beforeunload", warn);
    this.#running.add(id);
    const noted = this.#write((store) => store.put({ id, at: Date.now(), order }));
    return async () => {
      if (this.#isLeaving) return;
      await noted;
      await this.forget(id);
      this.#running.delete(id);
      if (this.#running.size === 0) removeEventListener("beforeunload", warn);
    };
  }

  // Returns the orders `{ id, at, order }` that no open page runs, oldest first.
  async left() {
    const database = await this.#database;
    if (!database) return [];
    const elsewhere = await this.#runningElsewhere();
    const all = await result(database.transaction(STORE).objectStore(STORE).getAll()).catch(() => []);
    const unclaimed = all.filter(({ id }) => !elsewhere.has(id) && !this.#running.has(id));
    for (const { id } of unclaimed.filter(({ at }) => Date.now() - at > DAY_MS)) await this.forget(id);
    return unclaimed.filter(({ at }) => Date.now() - at <= DAY_MS);
  }

  forget(id) {
    return this.#write((store) => store.delete(id));
  }

  async #runningElsewhere() {
    const ids = new Set();
    const channel = new BroadcastChannel(NAME);
    channel.onmessage = ({ data }) => Array.isArray(data) && data.forEach((id) => ids.add(id));
    channel.postMessage("which");
    await new Promise((resolve) => setTimeout(resolve, REPLY_MS));
    channel.close();
    return ids;
  }

  // A disk that is full or refused keeps no order from being made.
  async #write(change) {
    try {
      const transaction = (await this.#database)?.transaction(STORE, "readwrite");
      if (!transaction) return;
      change(transaction.objectStore(STORE));
      await committed(transaction);
    } catch {
      // The order is not found after a reload; the same order, sent again, finds its images.
    }
  }
}

async function open() {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
  return result(request);
}

function warn(event) {
  event.preventDefault();
}
