// Turns a painting into the mask that a gateway takes: a PNG of exactly the image's size, transparent where it changes.
//
// Draws and packs a few rows at a time: a photo of 24 megapixels needs six megabytes instead of a hundred, the page goes on
// answering, and the largest canvas of a phone does not matter.

import { viewOf } from "./painting.js";
import { packPng } from "./png.js";

const STRIP_PIXELS = 500_000;
// Half of a pixel or more: the mask has no soft border, which a provider may read either way.
const PAINTED = 128;

// Returns the mask of *frame* as a PNG, or null if nothing of it is painted.
export async function maskOf(painting, frame) {
  if (painting.isEmpty) return null;
  const [width, height] = [Math.round(frame.width * frame.scale), Math.round(frame.height * frame.scale)];
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP_PIXELS / width)));
  const context = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true });
  let painted = 0;

  async function* strips() {
    for (let top = 0; top < height; top += rows) {
      painting.drawOn(context, viewOf(frame, frame.scale, top));
      const { data } = context.getImageData(0, 0, width, Math.min(rows, height - top));
      for (let index = 0; index < data.length; index += 4) {
        const changes = data[index + 3] >= PAINTED;
        data[index] = data[index + 1] = data[index + 2] = 0;
        data[index + 3] = changes ? 0 : 255;
        painted += changes;
      }
      yield data;
      // Lets the page draw and answer between two strips.
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  const file = await packPng(width, height, strips());
  return painted > 0 ? file : null;
}
