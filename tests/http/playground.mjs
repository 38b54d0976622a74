// The page in a browser of a few lines: `node playground.mjs GATEWAY SCRIPT FIELDS [KEY] [first|later]`.
// FIELDS is JSON: what the person types into the form, by name.
// Runs the page's own script against a running gateway and prints what a person would see.

import { readFileSync } from "node:fs";

const [gateway, script, typed, key = "", when = "later"] = process.argv.slice(2);

class Element {
  constructor(fields = {}) {
    Object.assign(this, { value: "", hidden: false, textContent: "", children: [], listeners: {} }, fields);
    this.classes = new Set();
    this.classList = { toggle: (name, on) => (on ? this.classes.add(name) : this.classes.delete(name)) };
  }
  addEventListener(name, listener) {
    this.listeners[name] = listener;
  }
  append(...children) {
    this.children.push(...children);
  }
  prepend(...children) {
    this.children.unshift(...children);
  }
  replaceChildren(...children) {
    this.children = children;
    this.value = (children.find((each) => each.selected) ?? children[0])?.value ?? "";
  }
  querySelector() {
    return this.button;
  }
}

const elements = {
  order: new Element({
    button: new Element(),
    elements: {
      prompt: new Element({ value: "a white siamese cat" }),
      model: new Element(),
      n: new Element({ value: "2" }),
      size: new Element(),
      quality: new Element(),
    },
  }),
  key: new Element({ value: when === "first" ? key : "" }),
  status: new Element(),
  images: new Element(),
  metrics: new Element({ hidden: true }),
};
globalThis.document = { getElementById: (id) => elements[id], createElement: () => new Element() };
globalThis.Option = class {
  constructor(text, value, _, selected) {
    Object.assign(this, { text, value, selected });
  }
};
const request = globalThis.fetch;
globalThis.fetch = (path, options) => request(gateway + path, options);

await import(`data:text/javascript,${encodeURIComponent(readFileSync(script, "utf-8"))}`);
const seen = { opened: elements.status.textContent, metrics: !elements.metrics.hidden };
if (when === "later" && key) {
  elements.key.value = key;
  await elements.key.listeners.change();
}
seen.models = elements.order.elements.model.children.map((option) => option.value);
for (const [name, value] of Object.entries(JSON.parse(typed))) elements.order.elements[name].value = value;
let prevented = false;
await elements.order.listeners.submit({ preventDefault: () => (prevented = true) });
console.log(JSON.stringify({
  ...seen,
  prevented,
  said: elements.status.textContent,
  failed: elements.status.classes.has("failed"),
  images: elements.images.children.map((link) => link.href),
  files: elements.images.children.map((link) => link.download ?? ""),
}));
