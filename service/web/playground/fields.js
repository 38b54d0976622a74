// Builds the fields of an order from what its model takes: lists of values, numbers within bounds, a free size.

import { make } from "../page/dom.js";
import { say, sayIfKnown } from "../page/words.js";

// Every person sees these; all others are under "More".
const FIRST = ["size", "quality", "style", "background", "output_format"];
// Set by the page itself, or of no use in a form.
const OWN = ["stream", "partial_images", "svg", "frame_count", "frame_duration_ms"];
// Of use for some formats only.
const FORMATS = { output_compression: ["jpeg", "webp"] };
// The page watches all its orders, and no route streams these.
const NEVER_STREAMED = ["gif", "svg"];
const COMMON_SIZES = ["1024x1024", "1536x1024", "1024x1536", "2048x2048", "2048x1152", "1152x2048", "3840x2160", "2160x3840"];
const FREE = "free";

// Returns the names of the parameters that *contract* takes for *operation*: those for all, and those under "More".
export function parametersFor(contract, operation, format) {
  const names = Object.entries(contract.parameters)
    .filter(([name, { operations }]) => !OWN.includes(name) && (!operations || operations.includes(operation)))
    .filter(([name]) => !FORMATS[name] || FORMATS[name].includes(format))
    .map(([name]) => name);
  return [FIRST.filter((name) => names.includes(name)), names.filter((name) => !FIRST.includes(name))];
}

// Returns the field of the parameter *name*, with *value* if the model takes it.
export function parameterField(name, { values, minimum, maximum, default: standard, kind }, value) {
  if (kind && !values) return null;
  const control = values
    ? make("select", {}, options(name, values, standard, value))
    : make("input", { type: "number", min: minimum, max: maximum, step: 1, value: value ?? "", placeholder: standard ?? "" });
  return field(name, sayIfKnown(`field.${name}`) ?? name, control);
}

// Returns a labelled control that `mark` finds by *name*.
export function field(name, label, control, ...more) {
  control.id = `field-${name}`;
  control.name = name;
  control.dataset.param = name;
  return make("div", { class: "field" }, make("label", { for: control.id }, label), control, ...more);
}

function options(name, values, standard, value) {
  const word = (each) => sayIfKnown(`value.${each}`) ?? each;
  const isNamed = standard !== undefined && standard !== null && standard !== "auto";
  const first = make("option", { value: "" }, isNamed ? say("standardOf", word(standard)) : say("standard"));
  const others = values.filter((each) => ![standard, "auto", ...(name === "output_format" ? NEVER_STREAMED : [])].includes(each));
  return [first, ...others.map((each) => make("option", { value: each, selected: each === value }, word(each)))];
}

// Returns the field of the size: those of the model, and any that its rules allow if it paints free sizes.
export function sizeField({ fixed, default: standard, free }, value) {
  const common = free ? COMMON_SIZES.filter((size) => isAllowed(size, free)) : [];
  const known = [...new Set([...fixed, ...common])].filter((size) => size !== "auto" && size !== standard);
  const isFree = Boolean(free) && Boolean(value) && value !== standard && !known.includes(value);
  const first = standard === "auto" ? say("standard") : sizeName(standard);
  const select = make("select", {},
    make("option", { value: "" }, first),
    known.map((size) => make("option", { value: size, selected: size === value }, sizeName(size))),
    free && make("option", { value: FREE, selected: isFree }, say("size.free")));
  if (!free) return field("size", say("field.size"), select);
  const [width, height] = isFree ? value.split("x") : ["", ""];
  const edge = (name, text) => make("input", { name, type: "number", value: text, min: free.multiple, max: free.max_edge,
    step: free.multiple, placeholder: 1024, "aria-label": say(name), dataset: { param: "size" } });
  const own = make("div", { class: "own-size", hidden: !isFree }, edge("width", width), make("span", {}, "×"), edge("height", height),
    make("p", { class: "hint" }, say("size.rules", free)));
  select.addEventListener("input", () => {
    own.hidden = select.value !== FREE;
  });
  return field("size", say("field.size"), select, own);
}

// Returns the chosen size of *form*: "" for the model's own.
export function sizeOf(form) {
  const { size } = form.elements;
  if (size?.value !== FREE) return size?.value ?? "";
  return `${form.elements.width.value || 1024}x${form.elements.height.value || 1024}`;
}

function sizeName(size) {
  return sayIfKnown(`value.${size}`) ?? size.replace("x", " × ");
}

function isAllowed(size, { multiple, max_ratio: ratio, max_edge: edge, min_pixels: fewest, max_pixels: most }) {
  const [width, height] = size.split("x").map(Number);
  const [short, long] = [Math.min(width, height), Math.max(width, height)];
  const fits = width % multiple === 0 && height % multiple === 0 && long <= edge && long <= short * ratio;
  return fits && width * height >= fewest && width * height <= most;
}
