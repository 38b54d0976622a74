// Draws a column for each day. Two series differ by pattern, not only by colour: a solid one, and a hatched one on top.
//
// The table of the page has the same numbers. A slider below the columns reads them one by one, for keys, touch and screen readers.

import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";

const HEIGHT = 190; // Pixels of the plot; widths are shares of the page's.
const TOP = 18;
const BOTTOM = 22;
const MOST_LABELS = 4;

// *columns* are [{ label, short, solid, hatched }], in days' order; *read* says a column in words, *tick* a number of the axis.
export function drawChart({ title, columns, names, read, tick }) {
  const ceiling = niceCeiling(Math.max(...columns.map(({ solid, hatched }) => solid + hatched)));
  const bars = columns.map((column, i) => bar(column, i, columns.length, ceiling));
  const picture = draw("svg", { class: "chart", role: "img", "aria-label": title, height: TOP + HEIGHT + BOTTOM, width: "100%" },
    hatching(), ...grid(), ...bars, ...ticks(ceiling, tick), ...labels(columns));
  const readout = make("output", { class: "readout" });
  const slider = make("input", { type: "range", min: 0, max: columns.length - 1, value: columns.length - 1, "aria-label": say("chart.read"), oninput: () => show(slider.valueAsNumber) });

  function show(index) {
    for (const [i, each] of bars.entries()) each.classList.toggle("marked", i === index);
    slider.value = index;
    readout.textContent = read(columns[index]);
    slider.setAttribute("aria-valuetext", readout.textContent);
  }

  picture.addEventListener("pointermove", (event) => {
    const { left, width } = picture.getBoundingClientRect();
    show(Math.min(columns.length - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * columns.length))));
  });
  show(columns.length - 1);
  return make("figure", {}, make("figcaption", {}, title), legend(columns, names), picture, slider, readout);
}

// Returns a round number that is not below *most*, and little above it.
export function niceCeiling(most) {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((each) => each >= most * 0.9999) ?? 10 * power;
}

function bar({ solid, hatched }, index, count, ceiling) {
  const [x, width] = [`${((index + 0.12) / count) * 100}%`, `${(0.76 / count) * 100}%`];
  const [low, high] = [(solid / ceiling) * HEIGHT, (hatched / ceiling) * HEIGHT];
  return draw("g", { class: "bar" },
    draw("rect", { class: "ground", x: `${(index / count) * 100}%`, width: `${100 / count}%`, y: TOP, height: HEIGHT }),
    draw("rect", { class: "solid", x, width, y: TOP + HEIGHT - low, height: low }),
    draw("rect", { class: "hatched", fill: "url(#hatching)", x, width, y: TOP + HEIGHT - low - high, height: high }));
}

function grid() {
  return [0, 0.5, 1].map(heightOf).map((y) => draw("line", { class: "grid", x1: 0, x2: "100%", y1: y, y2: y }));
}

// The numbers of the axis stand in front of the bars.
function ticks(ceiling, tick) {
  return [0.5, 1].map((share) => draw("text", { x: 0, y: heightOf(share) - 4 }, tick(ceiling * share)));
}

function heightOf(share) {
  return TOP + HEIGHT * (1 - share);
}

function labels(columns) {
  const step = Math.ceil(columns.length / MOST_LABELS);
  return columns.flatMap(({ short }, i) => (i % step ? [] : [
    draw("text", { x: `${((i + 0.5) / columns.length) * 100}%`, y: TOP + HEIGHT + 16, "text-anchor": i === 0 && columns.length > 8 ? "start" : "middle" }, short),
  ]));
}

function hatching() {
  return draw("defs", {}, draw("pattern", { id: "hatching", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    draw("rect", { class: "hatch-ground", width: 6, height: 6 }), draw("rect", { class: "hatch-line", width: 3, height: 6 })));
}

function legend(columns, names) {
  const used = ["solid", "hatched"].filter((series) => columns.some((column) => column[series] > 0));
  return make("p", { class: "legend" }, used.map((series) => make("span", {}, sample(series), names[series])));
}

function sample(series) {
  return draw("svg", { width: 14, height: 14, "aria-hidden": "true", class: "chart" }, draw("rect", { class: series, width: 14, height: 14, ...(series === "hatched" && { fill: "url(#hatching)" }) }));
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
