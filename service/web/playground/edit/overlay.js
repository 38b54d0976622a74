// Shows a painting over its image: a canvas of bounded size, in a colour with stripes, so that it is seen by shape as well.

import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";
import { viewOf } from "./painting.js";

const COLOURS = ["#d1006e", "#fff"];
const STRIPE_SHARE = 0.012;
const MOST_GROWTH = 8;
const MOST_SIDE = 4096;
// Every fourth pixel tells the share well enough.
const SAMPLE = 4;

// Returns the canvas over *frame*, of about *pixels* pixels, and what draws on it.
export function createOverlay(frame, pixels) {
  const scale = Math.min(MOST_GROWTH, MOST_SIDE / Math.max(frame.width, frame.height), Math.sqrt(pixels / (frame.width * frame.height)));
  const width = Math.max(1, Math.round(frame.width * scale));
  const height = Math.max(1, Math.round(frame.height * scale));
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const view = viewOf(frame, scale);
  context.fillStyle = context.strokeStyle = stripes(context, Math.max(2, Math.round(STRIPE_SHARE * Math.max(width, height))));

  return {
    canvas,
    context,
    view,
    draw: (painting) => painting.drawOn(context, view),
    // Returns the part of the image that is painted, from 0 to 1.
    share() {
      const { data } = context.getImageData(0, 0, width, height);
      let painted = 0;
      for (let index = 3; index < data.length; index += 4 * SAMPLE) painted += data[index] >= 128;
      return painted / Math.ceil(data.length / (4 * SAMPLE));
    },
    // Tells if the place, in pixels of the image, is painted.
    isPainted(x, y) {
      const [left, top] = [x * scale + view.left, y * scale + view.top].map(Math.floor);
      return context.getImageData(Math.min(left, width - 1), Math.min(top, height - 1), 1, 1).data[3] >= 128;
    },
  };
}

// Returns how much of an image changes, in words.
export function shareInWords(share) {
  return share === 0 ? say("nothingPainted") : say("partPainted", share);
}

// Returns a pattern of diagonal stripes, each *size* wide; all of it is opaque.
function stripes(context, size) {
  const side = size * 4;
  const tile = new OffscreenCanvas(side, side);
  const ink = tile.getContext("2d");
  ink.fillStyle = COLOURS[0];
  ink.fillRect(0, 0, side, side);
  ink.strokeStyle = COLOURS[1];
  ink.lineWidth = size;
  for (const shift of [-side, 0, side]) {
    ink.beginPath();
    ink.moveTo(shift - size, side + size);
    ink.lineTo(shift + side + size, -size);
    ink.stroke();
  }
  return context.createPattern(tile, "repeat");
}
