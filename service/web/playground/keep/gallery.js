// The gallery: all images of this browser, newest first.

import { askFirst } from "../../page/dialog.js";
import { make } from "../../page/dom.js";
import { learn, onLanguage, say } from "../../page/words.js";
import { imageCard } from "./card.js";
import { words } from "./words.en-zh.js";

const AT_ONCE = 24;
const TYPING_MS = 150;

learn(words);

// Fills *container*. *actions* are `edit(record)`, `vary(record)` and `again(record)`. Returns `{ refresh(), actions }`:
// `actions` are all those of a card, for cards elsewhere on the page.
export function createGallery(container, history, { edit, vary, again }) {
  const search = make("input", { type: "search", id: "gallery-search", autocomplete: "off" });
  const found = make("p", { class: "hint", role: "status" });
  const trouble = make("p", { class: "warn" });
  const [thisVisit, earlier] = ["thisVisit", "earlier"].map((word) =>
    make("section", { dataset: { word } }, make("h3", {}), make("div", { class: "image-cards" })));
  const more = make("button", { type: "button", class: "load", onclick: () => load() });
  const cards = new Map();
  let records = [];
  let isAll = false;
  // Only the newest of several lists is shown.
  let asked = 0;

  const actions = {
    edit, vary, again, removed,
    neighbours: {
      newer: (record) => records[place(record) - 1],
      async older(record) {
        if (place(record) === records.length - 1) await load();
        return records[place(record) + 1];
      },
    },
  };
  const place = ({ id }) => records.findIndex((record) => record.id === id);

  async function load() {
    if (isAll) return;
    const before = records.at(-1) ?? null;
    const mine = (asked += 1);
    const next = await history.list({ text: search.value, before, limit: AT_ONCE });
    if (mine !== asked) return;
    isAll = next.length < AT_ONCE;
    records = [...records, ...next];
    render();
  }

  async function refresh() {
    const mine = (asked += 1);
    const limit = Math.max(AT_ONCE, records.length);
    const listed = await history.list({ text: search.value, limit });
    if (mine !== asked) return;
    isAll = listed.length < limit;
    records = listed;
    render();
  }

  function render() {
    const ids = new Set(records.map(({ id }) => id));
    for (const id of cards.keys()) if (!ids.has(id)) cards.delete(id);
    for (const record of records) if (!cards.has(record.id)) cards.set(record.id, imageCard(record, actions));
    const isNew = ({ at }) => at >= performance.timeOrigin;
    fill(thisVisit, records.filter(isNew));
    fill(earlier, records.filter((record) => !isNew(record)));
    trouble.textContent = history.problem ? say(`history.${history.problem}`) : "";
    found.textContent = foundWords();
    more.hidden = isAll;
  }

  // Moves no card that stays, so that it keeps the focus.
  function fill(group, members) {
    const wanted = members.map(({ id }) => cards.get(id));
    const list = group.lastElementChild;
    for (const card of [...list.children]) if (!wanted.includes(card)) card.remove();
    wanted.forEach((card, index) => card === list.children[index] || list.insertBefore(card, list.children[index] ?? null));
    group.hidden = wanted.length === 0;
  }

  function foundWords() {
    if (search.value.trim()) return say("found", records.length, isAll);
    return records.length === 0 ? say("nothingYet") : "";
  }

  // Forgets an image, and leaves the focus on the one that takes its place.
  async function removed(record) {
    const index = place(record);
    await (record.name ? history.removeNamed(record.name) : history.remove(record.id));
    await refresh();
    const next = records[Math.min(index, records.length - 1)];
    (next ? cards.get(next.id).querySelector("button") : search).focus();
  }

  async function clear() {
    const { images } = await history.size();
    if (images === 0) return;
    if (await askFirst({ title: say("clearTitle"), text: say("clearText", images), yes: say("clear") })) await history.clear();
  }

  function frame() {
    cards.clear();
    more.textContent = say("showMore");
    for (const group of [thisVisit, earlier]) group.firstElementChild.textContent = say(group.dataset.word);
    container.replaceChildren(
      make("h2", {}, say("yourImages")),
      make("p", { class: "hint" }, say("aboutHistory")),
      trouble,
      make("div", { class: "row" }, make("label", { class: "grow" }, say("searchImages"), search), make("button", { type: "button", onclick: clear }, say("clear"))),
      found, thisVisit, earlier, more);
  }

  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      records = [];
      refresh();
    }, TYPING_MS);
  });
  new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && load(), { rootMargin: "600px" }).observe(more);
  history.onChange(refresh);
  onLanguage(() => {
    frame();
    render();
  });
  container.classList.add("gallery");
  frame();
  more.hidden = true;
  refresh();

  return { refresh, actions };
}
