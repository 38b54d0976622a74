// The request of an order, as every language sends it.

const PATHS = { generate: "generations", edit: "edits", vary: "variations" };
const ENDINGS = { "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif", "image/svg+xml": "svg" };
// A stream is this page's own way to watch an order.
const OF_STREAMS = new Set(["stream", "partial_images"]);

// Returns `{ operation, path, fields, files, fresh }`: *fields* by name, *files* as `inputFiles`.
export function callOf(order) {
  const { operation, model, prompt, n, parameters = {}, fresh = false } = order;
  const chosen = Object.entries(parameters).filter(([name, value]) => !OF_STREAMS.has(name) && value !== null && value !== undefined && value !== "");
  const fields = {
    ...(model && { model }),
    ...(operation !== "vary" && { prompt }),
    ...(n > 1 && { n }),
    ...Object.fromEntries(chosen),
    response_format: "url",
  };
  return { operation, path: `/v1/images/${PATHS[operation]}`, fields, files: inputFiles(order), fresh: Boolean(fresh) };
}

// Returns the files that the code reads: `[{ field, name, blob }]`; *field* is `image` or `mask`.
export function inputFiles({ images = [], mask = null }) {
  const files = images.map((blob, index) => ({
    field: "image",
    name: `image${images.length > 1 ? `-${index + 1}` : ""}.${ENDINGS[blob.type] ?? "png"}`,
    blob,
  }));
  return mask ? [...files, { field: "mask", name: "mask.png", blob: mask }] : files;
}

// Returns the fields of a form, in which an object is spelt `svg[model]`.
export function flat(fields, prefix = "") {
  return Object.entries(fields).flatMap(([name, value]) => {
    const spelt = prefix ? `${prefix}[${name}]` : name;
    return typeof value === "object" ? flat(value, spelt) : [[spelt, String(value)]];
  });
}
