// Keeps the images that this browser ordered, across visits and tabs.
//
// A record is `{ id, at, order: { operation, model, prompt, n, parameters, fresh }, inputs, mask, index, blob, format, width, height,
// url, name, costMicrousd, cache, sentModel, revisedPrompt, realm, requestId }`. The newest stay: at most 500 images, and at most 60 % of
// the bytes that the browser grants. What the disk does not take stays until the page is closed, and `problem` says why.

import { openDisk } from "./disk.js";

const MOST_IMAGES = 500;
const SHARE = 0.6;
// For browsers that do not tell, as on http.
const QUOTA_BYTES = 1024 ** 3;

// Returns the history, which lists what it knows so far. It never fails: without storage it lasts for this visit.
export function openHistory() {
  return new History();
}

class History {
  // Why images do not outlast this visit: null, or `refused`, `blocked`, `newer` or `full`.
  problem = null;

  #disk = null;
  // Records that the disk does not have, or not yet; newest first.
  #unkept = [];
  #mostBytes = QUOTA_BYTES * SHARE;
  #latest = 0;
  #listeners = [];
  #otherTabs = new BroadcastChannel("image-gateway.history");
  #opened;

  constructor() {
    this.#otherTabs.onmessage = () => this.#notify();
    this.#opened = this.#open();
  }

  async #open() {
    try {
      this.#disk = await openDisk(() => this.#lose("newer"));
    } catch (error) {
      return this.#lose(error.reason);
    }
    const { quota } = (await navigator.storage?.estimate?.().catch(() => null)) ?? {};
    if (quota) this.#mostBytes = quota * SHARE;
    this.#notify();
  }

  // Calls *listener* after each change, of another tab, too.
  onChange(listener) {
    this.#listeners.push(listener);
  }

  // Adds what was made, and returns its record once it is kept; it is listed at once.
  async add(made) {
    // Later images stand before earlier ones of the same millisecond.
    this.#latest = Math.max(made.at ?? Date.now(), this.#latest + 1);
    const { operation, model, prompt, n, parameters, fresh } = made.order;
    const order = { operation, model, prompt, n, parameters, fresh };
    const record = { inputs: [], mask: null, ...made, order, id: made.id ?? newId(), at: this.#latest };
    Object.assign(record, { bytes: bytesOf(record), text: searched(record) });
    this.#unkept.unshift(record);
    this.#notify();
    await this.#opened;
    await this.#keep(record);
    this.#changed();
    return record;
  }

  // Returns at most *limit* records with all words of *text* in their prompt or model, newest first; *before* is the last
  // record of the list before.
  async list({ text = "", before = null, limit = 24 } = {}) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (text) => words.every((word) => text.includes(word));
    const kept = (await this.#disk?.list({ fits, before, limit })) ?? [];
    const unkept = this.#unkept.filter((record) => fits(record.text) && (!before || newestFirst(before, record) < 0));
    const both = new Map([...kept, ...unkept].map((record) => [record.id, record]));
    return [...both.values()].sort(newestFirst).slice(0, limit);
  }

  // Removes the record *id*.
  async remove(id) {
    this.#unkept = this.#unkept.filter((record) => record.id !== id);
    await this.#disk?.remove([id]);
    this.#changed();
  }

  // Removes all records of a file that the gateway has deleted.
  async removeNamed(name) {
    this.#unkept = this.#unkept.filter((record) => record.name !== name);
    if (this.#disk) await this.#disk.remove(await this.#disk.named(name));
    this.#changed();
  }

  async clear() {
    this.#unkept = [];
    await this.#disk?.clear();
    if (this.problem === "full") this.problem = null;
    this.#changed();
  }

  // Returns `{ images, bytes }`.
  async size() {
    const shelf = [...this.#unkept.map(({ at, id, bytes }) => [at, id, bytes]), ...((await this.#disk?.shelf()) ?? [])];
    return { images: shelf.length, bytes: shelf.reduce((sum, [, , bytes]) => sum + bytes, 0) };
  }

  async #keep(record) {
    if (!this.#disk) return;
    try {
      await this.#put(record);
      this.#unkept = this.#unkept.filter(({ id }) => id !== record.id);
      this.problem = null;
      await this.#trim(this.#mostBytes);
    } catch (error) {
      this.problem = error?.name === "QuotaExceededError" ? "full" : "refused";
    }
  }

  // A disk may be full before our share of it is: the oldest half makes room, once.
  async #put(record) {
    try {
      await this.#disk.put(record);
    } catch (error) {
      if (error?.name !== "QuotaExceededError") throw error;
      const { bytes } = await this.size();
      await this.#trim(bytes / 2);
      await this.#disk.put(record);
    }
  }

  async #trim(mostBytes) {
    let bytes = 0;
    const beyond = (await this.#disk.shelf()).filter(([, , size], place) => {
      bytes += size;
      return place > 0 && (place >= MOST_IMAGES || bytes > mostBytes);
    });
    if (beyond.length > 0) await this.#disk.remove(beyond.map(([, id]) => id));
  }

  #lose(reason) {
    this.#disk = null;
    this.problem = reason;
    this.#notify();
  }

  #changed() {
    this.#otherTabs.postMessage("changed");
    this.#notify();
  }

  #notify() {
    for (const listener of this.#listeners) listener();
  }
}

function newestFirst(one, other) {
  return other.at - one.at || (other.id < one.id ? -1 : 1);
}

function searched({ order, revisedPrompt, sentModel }) {
  return [order.prompt, revisedPrompt, order.model, sentModel].join("\n").toLowerCase();
}

// Inputs are kept once for all images of an order.
function bytesOf({ blob, inputs, mask, order }) {
  const shared = [...inputs, ...(mask ? [mask] : [])].reduce((sum, { size }) => sum + size, 0);
  return blob.size + Math.ceil(shared / (order.n || 1));
}

// `crypto.randomUUID` exists on https only.
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
