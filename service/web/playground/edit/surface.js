// The surface to paint on: an image, its overlay, and the hands on it: mouse, pen, finger and keys.

import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";
import { createOverlay } from "./overlay.js";
import { drawStep } from "./painting.js";

const PIXELS = 2_000_000;
const ERASER_OF_A_PEN = 32;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Returns the surface for a *fit* and its *painting*. Calls `onPainted()` after each step, and `onCursor({ left, top, isPainted })`,
// in shares of the image, after each move by keys.
export function createSurface(fit, painting, { onPainted, onCursor }) {
  const { frame } = fit;
  const overlay = createOverlay(frame, PIXELS);
  const { canvas, context, view } = overlay;
  const ring = make("div", { class: "ring", "aria-hidden": "true" });
  const element = make("div", { class: "sheet" }, make("img", { src: fit.url, alt: "", draggable: "false" }), canvas, ring);
  const cursor = { x: frame.x + frame.width / 2, y: frame.y + frame.height / 2 };
  let tool = { erases: false, size: 1 };
  let stroke = null;

  for (const [name, value] of Object.entries({ tabindex: 0, role: "application", "aria-label": say("surface"), "aria-describedby": "painter-keys" })) {
    canvas.setAttribute(name, value);
  }
  const listeners = { pointerdown, pointermove, pointerup: end, pointercancel: drop, keydown, keyup, blur: end };
  for (const [name, listener] of Object.entries(listeners)) canvas.addEventListener(name, listener);
  overlay.draw(painting);

  function begin(erases) {
    end();
    stroke = { kind: "stroke", erases, size: tool.size, points: [cursor.x, cursor.y] };
    drawStep(context, view, stroke);
  }

  function extend() {
    const { points } = stroke;
    if (points.at(-2) === cursor.x && points.at(-1) === cursor.y) return;
    points.push(cursor.x, cursor.y);
    drawStep(context, view, { ...stroke, points: points.slice(-4) });
  }

  function end() {
    if (stroke === null) return;
    painting.add(stroke);
    stroke = null;
    onPainted();
  }

  // Two fingers that zoom begin as one finger that paints.
  function drop() {
    stroke = null;
    overlay.draw(painting);
  }

  function moveTo(x, y) {
    cursor.x = x;
    cursor.y = y;
    placeRing();
  }

  function placeRing() {
    const { style } = ring;
    style.left = `${((cursor.x - frame.x) / frame.width) * 100}%`;
    style.top = `${((cursor.y - frame.y) / frame.height) * 100}%`;
    style.width = `${(tool.size / frame.width) * 100}%`;
  }

  function moveToPointer(event) {
    const box = canvas.getBoundingClientRect();
    moveTo(
      frame.x + ((event.clientX - box.left) / box.width) * frame.width,
      frame.y + ((event.clientY - box.top) / box.height) * frame.height,
    );
  }

  function pointerdown(event) {
    if (!event.isPrimary || (event.button !== 0 && !(event.buttons & ERASER_OF_A_PEN))) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    moveToPointer(event);
    begin(tool.erases || Boolean(event.buttons & ERASER_OF_A_PEN));
  }

  function pointermove(event) {
    if (!event.isPrimary) return;
    const moves = stroke && event.getCoalescedEvents?.();
    for (const move of moves?.length ? moves : [event]) {
      moveToPointer(move);
      if (stroke) extend();
    }
  }

  function keydown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) {
      const step = event.shiftKey ? 1 : Math.max(1, Math.round(tool.size / 2));
      const [right, down] = ARROWS[event.key];
      const within = (value, start, length) => Math.min(start + length - 0.5, Math.max(start + 0.5, value));
      moveTo(within(cursor.x + right * step, frame.x, frame.width), within(cursor.y + down * step, frame.y, frame.height));
      if (stroke) extend();
      ring.scrollIntoView({ block: "nearest", inline: "nearest" });
      tell();
    } else if (event.key === " ") {
      if (!event.repeat) begin(tool.erases);
    } else return;
    event.preventDefault();
  }

  function keyup(event) {
    if (event.key !== " ") return;
    event.preventDefault();
    end();
    tell();
  }

  function tell() {
    const [left, top] = [(cursor.x - frame.x) / frame.width, (cursor.y - frame.y) / frame.height];
    onCursor({ left, top, isPainted: overlay.isPainted(cursor.x, cursor.y) });
  }

  return {
    element,
    share: overlay.share,
    focus: () => canvas.focus(),
    setTool(chosen) {
      tool = chosen;
      placeRing();
    },
    // Adds a step that is no stroke: `fill`, `clear` or `invert`.
    apply(kind) {
      end();
      painting.add({ kind });
      drawStep(context, view, { kind });
      onPainted();
    },
    // Goes one step back or forth: `undo` or `redo`.
    go(way) {
      end();
      painting[way]();
      overlay.draw(painting);
      onPainted();
    },
  };
}
