// Makes tables, which become lists of cards on narrow screens. Explicit roles keep them tables for screen readers there.

import { make } from "../../page/dom.js";
import { number } from "../../page/format.js";
import { say } from "../../page/words.js";

const MOST_ROWS = 200;

// *columns* are [{ title, cell(row) -> text or element, isNumber, isName }]; *isName* heads its row. Without rows, *empty* is said.
export function table({ caption, columns, rows, empty }) {
  if (rows.length === 0) return make("p", { class: "empty" }, empty);
  const body = make("tbody", { role: "rowgroup" }, rows.slice(0, MOST_ROWS).map((row) => line(row, columns)));
  const whole = make("table", { role: "table", class: "cards" },
    make("caption", {}, caption),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, columns.map(head))),
    body);
  if (rows.length <= MOST_ROWS) return whole;
  const more = make("button", { onclick: () => {
    body.append(...rows.slice(MOST_ROWS).map((row) => line(row, columns)));
    more.remove();
  } }, say("showAll", number(rows.length)));
  return make("div", {}, whole, more);
}

function head({ title, isNumber }) {
  return make("th", { role: "columnheader", scope: "col", class: isNumber && "number" }, title);
}

function line(row, columns) {
  return make("tr", { role: "row" }, columns.map(({ title, cell, isNumber, isName }) => {
    const content = cell(row);
    if (isName) return make("th", { role: "rowheader", scope: "row" }, content);
    return make("td", { role: "cell", class: isNumber && (content === "0" ? "number zero" : "number"), dataset: { title } }, content);
  }));
}
