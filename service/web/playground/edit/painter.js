// The dialog in which a person paints what changes: the surface, its tools and their keys.

import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";
import { shareInWords } from "./overlay.js";
import { createSurface } from "./surface.js";

// A brush from half a percent to half of the shorter side; the slider is a logarithm of it.
const SMALLEST_SHARE = 0.005;
const LARGEST_SHARE = 0.5;
const KEY_STEP = 5;
const ZOOM_STEP = 1.4;
const MOST_ZOOM = 12;
const ANNOUNCE_AFTER_MS = 250;
// Room for bars that come and go with the zoom, so that they do not change it.
const SCROLLBAR_PX = 16;

const SYMBOLS = { zoomOut: "−", zoomIn: "+" };

// Opens the dialog on a *fit* and its *painting*, and resolves when it is closed. What is painted is in *painting* at once.
export async function paint(fit, painting) {
  const { frame } = fit;
  const surface = createSurface(fit, painting, { onPainted: showPainted, onCursor: announce });
  const status = make("p", { class: "hint", role: "status" });
  const size = make("input", { type: "range", min: 0, max: 100, step: 1, value: 60, oninput: showTool });
  const tools = ["brush", "eraser"].map((name) => button(name, () => choose(name)));
  const undo = button("undo", () => surface.go("undo"));
  const redo = button("redo", () => surface.go("redo"));
  const whole = ["fill", "clear", "invert"].map((kind) => button(kind, () => surface.apply(kind)));
  const zooms = [["zoomOut", () => zoomBy(1 / ZOOM_STEP)], ["zoomIn", () => zoomBy(ZOOM_STEP)], ["fitWidth", () => zoomTo(stageWidth() / wholeWidth())], ["fitAll", () => zoomTo(1)]];
  const stage = make("div", { class: "stage" }, surface.element);
  const done = make("button", { type: "button", class: "primary", onclick: () => dialog.close() }, say("donePainting"));
  const dialog = make("dialog", { class: "painter", "aria-labelledby": "painter-title", onkeydown: obeyKey },
    make("div", { class: "painter-head" }, make("h2", { id: "painter-title" }, say("paintTitle")), done),
    make("div", { class: "tools" },
      group("tool", tools, make("label", {}, say("brushSize"), size)),
      group("steps", undo, redo),
      group("whole", whole),
      group("zoom", zooms.map(([name, act]) => button(name, act)))),
    stage,
    make("p", { class: "hint" }, say("aboutPainting")),
    make("p", { class: "hint painter-keys", id: "painter-keys" }, say("paintKeys")),
    status);
  let tool = "brush";
  let zoom = 1;
  let timer = 0;

  function choose(name) {
    tool = name;
    showTool();
  }

  function showTool() {
    const pixels = Math.max(1, Math.round(Math.min(frame.width, frame.height) * SMALLEST_SHARE * (LARGEST_SHARE / SMALLEST_SHARE) ** (size.value / 100)));
    size.setAttribute("aria-valuetext", say("pixels", pixels));
    for (const [index, name] of ["brush", "eraser"].entries()) tools[index].setAttribute("aria-pressed", String(name === tool));
    surface.setTool({ erases: tool === "eraser", size: pixels });
  }

  function showPainted() {
    // A button that had the focus keeps it: a disabled one would lose it to the page.
    undo.setAttribute("aria-disabled", String(!painting.canUndo));
    redo.setAttribute("aria-disabled", String(!painting.canRedo));
    status.textContent = shareInWords(surface.share());
  }

  function announce({ left, top, isPainted }) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      status.textContent = say("cursorAt", Math.round(left * 100), Math.round(top * 100), isPainted);
    }, ANNOUNCE_AFTER_MS);
  }

  // Width of the image at which all of it is seen.
  function wholeWidth() {
    return Math.min(stageWidth(), ((stage.offsetHeight - SCROLLBAR_PX) * frame.width) / frame.height);
  }

  function stageWidth() {
    return stage.offsetWidth - SCROLLBAR_PX;
  }

  function zoomBy(factor) {
    zoomTo(zoom * factor);
  }

  function zoomTo(value) {
    zoom = Math.min(MOST_ZOOM, Math.max(1, value));
    surface.element.style.width = `${Math.floor(wholeWidth() * zoom)}px`;
  }

  function obeyKey(event) {
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && !event.altKey) {
      if (key === "z") surface.go(event.shiftKey ? "redo" : "undo");
      else if (key === "y") surface.go("redo");
      else return;
    } else if (event.key === "[" || event.key === "]") {
      size.value = Number(size.value) + (event.key === "]" ? KEY_STEP : -KEY_STEP);
      showTool();
    } else if (key === "b") choose("brush");
    else if (key === "e") choose("eraser");
    else return;
    event.preventDefault();
  }

  const watch = new ResizeObserver(() => zoomTo(zoom));
  document.body.append(dialog);
  showTool();
  showPainted();
  dialog.showModal();
  watch.observe(stage, { box: "border-box" });
  surface.focus();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  watch.disconnect();
  clearTimeout(timer);
  dialog.remove();
}

function button(name, act) {
  const [text, symbol] = [say(`tool.${name}`), SYMBOLS[name]];
  return make("button", { type: "button", dataset: { tool: name }, title: symbol && text, "aria-label": symbol && text, onclick: act }, symbol ?? text);
}

function group(name, ...children) {
  return make("div", { role: "group", "aria-label": say(`group.${name}`) }, ...children);
}
