// What a person painted on an image: steps, which can be undone and drawn again at any scale.
//
// A step is a stroke `{ kind: "stroke", erases, size, points: [x, y, x, y, …] }`, or `fill`, `clear` or `invert`. Places and
// sizes are pixels of the image as the person gave it, so that a painting outlives a cut or a smaller copy of it.

export class Painting {
  #steps = [];
  #undone = [];

  get isEmpty() {
    return this.#steps.length === 0;
  }

  get canUndo() {
    return this.#steps.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  add(step) {
    this.#steps.push(step);
    this.#undone = [];
  }

  undo() {
    if (this.canUndo) this.#undone.push(this.#steps.pop());
  }

  redo() {
    if (this.canRedo) this.#steps.push(this.#undone.pop());
  }

  // Draws all steps on *context* in its own fill and stroke style; *view* is `viewOf(…)`.
  drawOn(context, view) {
    const { width, height } = context.canvas;
    context.clearRect(0, 0, width, height);
    drawEdges(context, view);
    for (const step of this.#steps) drawStep(context, view, step);
  }
}

// Returns the view that shows *frame* (`fit.js`) at *scale* canvas pixels for each of the given image's, *top* of them higher.
export function viewOf(frame, scale, top = 0) {
  return { scale, left: -frame.x * scale, top: -frame.y * scale - top, inner: frame.inner };
}

// Draws one step. The styles of *context* must be opaque: `invert` swaps what is painted and what is not.
export function drawStep(context, view, step) {
  const { width, height } = context.canvas;
  if (step.kind === "stroke") {
    context.globalCompositeOperation = step.erases ? "destination-out" : "source-over";
    drawStroke(context, view, step);
  } else if (step.kind === "clear") {
    context.clearRect(0, 0, width, height);
    drawEdges(context, view);
  } else {
    context.globalCompositeOperation = step.kind === "invert" ? "xor" : "source-over";
    context.fillRect(0, 0, width, height);
  }
  context.globalCompositeOperation = "source-over";
}

// Fills what lies outside of the given image, if it was padded: there is nothing to keep.
function drawEdges(context, { scale, left, top, inner }) {
  if (!inner) return;
  const { width, height } = context.canvas;
  context.fillRect(0, 0, width, height);
  context.clearRect(left, top, Math.round(inner.width * scale), Math.round(inner.height * scale));
}

function drawStroke(context, { scale, left, top }, { points, size }) {
  const place = (index) => [points[index] * scale + left, points[index + 1] * scale + top];
  context.beginPath();
  if (points.length === 2) {
    // A line without length has no caps in some browsers.
    context.arc(...place(0), (size * scale) / 2, 0, 2 * Math.PI);
    context.fill();
    return;
  }
  Object.assign(context, { lineWidth: size * scale, lineCap: "round", lineJoin: "round" });
  context.moveTo(...place(0));
  for (let index = 2; index < points.length; index += 2) context.lineTo(...place(index));
  context.stroke();
}
