// Reads a person's image, and makes what is sent of it: the file itself, or a copy that the model takes.
//
// A copy without loss (another format, an alpha channel) is made unasked, and told. One that loses something (cut, padded,
// smaller) is made only if the person asked: until then the image has a problem, and is not sent.
//
// An image: `{ blob, name, format, hasAlpha, hasExif, width, height, url }`, upright as the browser shows it: Exif is obeyed.
// Its fit: `{ blob, url, frame, notes, problem, isItsMask }`. *frame* is the part that is sent, in pixels of the image,
// `{ x, y, width, height, scale, inner }`: *scale* is sent pixels for each, *inner* the image's size if the frame is larger.
// Notes and a problem are `[word, ...values]`; *isItsMask* tells if the transparent part changes unless something is painted.

const SMALLER = 0.95;
// The canvas of a phone has no more.
const COPY_PIXELS = 16_000_000;
const MOST_TRIES = 8;
const LOSSY_QUALITY = 0.92;
const HEAD_BYTES = 65_536;

// Returns the image in *blob*, or null if this browser cannot read it.
export async function readImage(blob, name = "") {
  const url = URL.createObjectURL(blob);
  const element = await load(url);
  if (!element) {
    URL.revokeObjectURL(url);
    return null;
  }
  const head = new Uint8Array(await blob.slice(0, HEAD_BYTES).arrayBuffer());
  const { naturalWidth: width, naturalHeight: height } = element;
  const format = formatOf(head, blob.type);
  return { blob, name, url, width, height, format, hasAlpha: hasAlpha(head, format), hasExif: hasExif(head, format) };
}

// Returns what is sent of *image* under *rules* (a model's `inputs`). *asked* is what the person agreed to: `{ square: "cut" |
// "pad" | null, smaller: boolean }`; *needsAlpha* tells if this one must have an alpha channel, *isPainted* if a mask goes with it.
export async function fitImage(image, rules, asked, { needsAlpha, isPainted }) {
  const fit = { blob: image.blob, url: image.url, frame: wholeOf(image), notes: [], problem: null, isItsMask: false };
  if (rules === null) return fit;
  if (rules.square && image.width !== image.height) {
    if (!asked.square) return { ...fit, problem: ["notSquare", image.width, image.height] };
    fit.frame = squareOf(image, asked.square);
    fit.notes.push([asked.square === "cut" ? "wasCut" : "wasPadded", fit.frame.width, fit.frame.height]);
  }
  fit.isItsMask = needsAlpha && (image.hasAlpha || fit.frame.inner !== null);
  const pixels = fit.frame.width * fit.frame.height;
  if (pixels > rules.max_pixels) {
    if (!asked.smaller) return { ...fit, problem: ["tooManyPixels", pixels, rules.max_pixels] };
    fit.frame = { ...fit.frame, scale: Math.sqrt(Math.min(COPY_PIXELS, rules.max_pixels) / pixels) * SMALLER };
  }
  const reason = pngReason(image, rules, { needsAlpha, isPainted });
  if (reason) fit.notes.push(reason);
  const type = reason || fit.frame.inner ? "png" : image.format;
  try {
    if (fit.notes.length > 0 || fit.frame.scale < 1) await copy(image, fit, type);
    if (fit.blob.size > rules.max_bytes && !asked.smaller) return { ...fit, problem: ["tooManyBytes", fit.blob.size, rules.max_bytes] };
    await shrink(image, fit, type, rules.max_bytes);
  } catch (error) {
    // Browsers bound the sides and the area of a canvas, each by its own numbers.
    if (!(error instanceof DOMException)) throw error;
    return { ...fit, notes: [], problem: ["cannotCopy"] };
  }
  if (fit.frame.scale < 1) fit.notes.push(["wasMadeSmaller", ...sizeOf(fit.frame)]);
  return fit;
}

// Returns the note on why *image* is sent as a PNG, or null.
function pngReason(image, rules, { needsAlpha, isPainted }) {
  if (!rules.formats.includes(image.format)) return ["sentAsPng", image.format];
  if (needsAlpha && !image.hasAlpha) return ["sentWithAlpha"];
  // The gateway turns a WebP as its Exif says and some browsers do not (Chromium 156, 2026): the mask would not fit.
  if (isPainted && image.format === "webp" && image.hasExif) return ["sentAsShown"];
  return null;
}

async function shrink(image, fit, type, maxBytes) {
  for (let tries = 0; fit.blob.size > maxBytes && tries < MOST_TRIES; tries += 1) {
    fit.frame = { ...fit.frame, scale: fit.frame.scale * Math.min(SMALLER, SMALLER * Math.sqrt(maxBytes / fit.blob.size)) };
    await copy(image, fit, type);
  }
}

// Draws the frame anew, and puts the file into *fit*.
async function copy(image, fit, format) {
  const { x, y, scale } = fit.frame;
  const [width, height] = sizeOf(fit.frame);
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(await load(image.url), -x * scale, -y * scale, image.width * scale, image.height * scale);
  fit.blob = await context.canvas.convertToBlob({ type: `image/${format}`, quality: LOSSY_QUALITY });
  if (fit.url !== image.url) URL.revokeObjectURL(fit.url);
  fit.url = URL.createObjectURL(fit.blob);
}

// Returns the size of what is sent, in pixels.
export function sizeOf(frame) {
  return [Math.round(frame.width * frame.scale), Math.round(frame.height * frame.scale)];
}

function wholeOf({ width, height }) {
  return { x: 0, y: 0, width, height, scale: 1, inner: null };
}

function squareOf({ width, height }, way) {
  const side = way === "cut" ? Math.min(width, height) : Math.max(width, height);
  const [x, y] = [Math.floor((width - side) / 2), Math.floor((height - side) / 2)];
  return { x, y, width: side, height: side, scale: 1, inner: way === "pad" ? { width, height } : null };
}

async function load(url) {
  const element = new Image();
  const loaded = new Promise((resolve) => {
    element.onload = () => resolve(element.naturalWidth > 0 ? element : null);
    element.onerror = () => resolve(null);
  });
  element.src = url;
  return loaded;
}

// By its first bytes, as the gateway judges it: a name or a declared type may be wrong. Returns "" for others than it says.
function formatOf(head, type) {
  const text = String.fromCharCode(...head.subarray(0, 12));
  if (text.startsWith("\x89PNG")) return "png";
  if (text.startsWith("\xff\xd8\xff")) return "jpeg";
  if (text.startsWith("RIFF") && text.endsWith("WEBP")) return "webp";
  if (text.startsWith("GIF8")) return "gif";
  if (text.startsWith("BM")) return "bmp";
  const declared = type.replace(/^image\/(x-)?/, "").replace(/\+.*/, "");
  return ["png", "jpeg", "webp", "gif"].includes(declared) ? "" : declared;
}

// Tells if it is a PNG with an alpha channel, or with transparent colours.
function hasAlpha(head, format) {
  const colour = head[25];
  if (format !== "png") return false;
  return colour === 4 || colour === 6 || new TextDecoder("latin1").decode(head).includes("tRNS");
}

// Tells if it is a WebP with Exif metadata (RFC 9649, 2.7.1.1).
function hasExif(head, format) {
  return format === "webp" && String.fromCharCode(...head.subarray(12, 16)) === "VP8X" && (head[20] & 0x08) !== 0;
}
