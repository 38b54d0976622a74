// Keeps records in IndexedDB, where images are files and not texts. The inputs of an order are kept once for all its images.

const NAME = "image-gateway.history";
const VERSION = 1;
const PATIENCE_MS = 3000;

// Why nothing can be kept: *reason* is `refused` (by the browser), `blocked` (by another tab) or `newer` (than this page).
export class NoDisk extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

// Returns the disk, or throws `NoDisk`. *onLost* is called if another tab needs it for a newer version of the page.
export async function openDisk(onLost) {
  let isLate = false;
  const opening = open();
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new NoDisk("blocked")), PATIENCE_MS);
  });
  opening.then((database) => isLate && database.close(), () => {});
  try {
    return new Disk(await Promise.race([opening, late]), onLost);
  } catch (error) {
    isLate = true;
    if (error instanceof NoDisk) throw error;
    throw new NoDisk(error.name === "VersionError" ? "newer" : "refused");
  }
}

async function open() {
  const request = indexedDB.open(NAME, VERSION);
  request.onupgradeneeded = ({ oldVersion }) => upgrade(request.result, oldVersion);
  return result(request);
}

// Each version has a step of its own; an earlier one never changes.
function upgrade(database, oldVersion) {
  if (oldVersion < 1) {
    const images = database.createObjectStore("images", { keyPath: "id" });
    // All that searches and bounds need: to walk over records takes a hundred times as long as over these keys.
    images.createIndex("shelf", ["at", "id", "bytes", "text"]);
    images.createIndex("name", "name");
    images.createIndex("orderKey", "orderKey");
    database.createObjectStore("inputs", { keyPath: "orderKey" });
  }
}

class Disk {
  #database;
  // Records never change; these are known here.
  #read = new Map();

  constructor(database, onLost) {
    this.#database = database;
    database.onversionchange = () => {
      database.close();
      onLost();
    };
  }

  async put({ inputs, mask, ...image }) {
    const transaction = this.#begin("readwrite");
    const stored = { ...image, orderKey: image.requestId || image.id };
    transaction.objectStore("images").put(stored);
    if (inputs.length > 0) transaction.objectStore("inputs").put({ orderKey: stored.orderKey, inputs, mask });
    await committed(transaction);
  }

  // Returns at most *limit* records whose text *fits*, newest first, from the one after *before*.
  async list({ fits, before, limit }) {
    const transaction = this.#begin("readonly");
    const range = before && IDBKeyRange.upperBound([before.at, before.id], true);
    const found = [];
    await walk(transaction.objectStore("images").index("shelf").openKeyCursor(range, "prev"), ({ key: [, id, , text] }) => {
      if (fits(text)) found.push(id);
      return found.length < limit;
    });
    return Promise.all(found.map((id) => this.#read.get(id) ?? this.#readFirst(transaction, id)));
  }

  // Returns the ids of all records of one file of the gateway.
  async named(name) {
    return result(this.#begin("readonly").objectStore("images").index("name").getAllKeys(name));
  }

  // Returns `[at, id, bytes, text]` of all records, newest first.
  async shelf() {
    const keys = [];
    await walk(this.#begin("readonly").objectStore("images").index("shelf").openKeyCursor(null, "prev"), ({ key }) => keys.push(key));
    return keys;
  }

  // Removes records, and inputs that no other record needs.
  async remove(ids) {
    const transaction = this.#begin("readwrite");
    const images = transaction.objectStore("images");
    for (const id of ids) {
      const image = await result(images.get(id));
      if (!image) continue;
      await result(images.delete(id));
      const left = await result(images.index("orderKey").count(image.orderKey));
      if (left === 0) transaction.objectStore("inputs").delete(image.orderKey);
    }
    await committed(transaction);
  }

  async clear() {
    const transaction = this.#begin("readwrite");
    for (const name of ["images", "inputs"]) transaction.objectStore(name).clear();
    await committed(transaction);
  }

  async #readFirst(transaction, id) {
    const image = await result(transaction.objectStore("images").get(id));
    const { inputs = [], mask = null } = (await result(transaction.objectStore("inputs").get(image.orderKey))) ?? {};
    const record = { ...image, inputs, mask };
    this.#read.set(id, record);
    return record;
  }

  #begin(mode) {
    return this.#database.transaction(["images", "inputs"], mode);
  }
}

export function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export function committed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
}

// Calls *take* with each entry of a cursor, until it returns false.
function walk(request, take) {
  return new Promise((resolve, reject) => {
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const cursor = request.result;
      if (cursor && take(cursor) !== false) cursor.continue();
      else resolve();
    };
  });
}
