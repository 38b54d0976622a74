// Spend: by day, team and model, in a span of days.

import { ask, read } from "../../page/api.js";
import { make } from "../../page/dom.js";
import { day as dayInWords, money, number } from "../../page/format.js";
import { languageTag, learn, say } from "../../page/words.js";
import { choice } from "../parts/choices.js";
import { attempt } from "../parts/refusal.js";
import { table } from "../parts/table.js";
import { tell } from "../parts/tell.js";
import { drawChart } from "./chart.js";
import { createSpan, eachDay } from "./span.js";
import { addUp, addUpBy, largestFirst } from "./sums.js";
import { words } from "./words.en-zh.js";

learn(words);

export function createSpend() {
  const element = make("section");
  const report = make("div");
  const heard = make("p", { class: "unseen", role: "status" }); // What the eye sees at once.
  const span = createSpan(reload);
  let team = "";
  let teams = [];
  let loaded = null; // { days, byDay, byTeam, byModel, byBackend }, and the span and team that they are of.
  let latest = 0;

  async function load() {
    const turn = ++latest;
    const asked = { ...span.value(), team };
    const [teamList, ...tables] = await Promise.all([
      read("/admin/teams"),
      ...["day", "team", "model", "backend"].map((group) => read(path(asked, { group }))),
    ]);
    if (turn !== latest) return; // A later choice is under way.
    const [byDay, byTeam, byModel, byBackend] = tables.map((each) => each.data);
    teams = teamList.data.map(({ name }) => name);
    loaded = { ...asked, days: eachDay(asked), byDay, byTeam, byModel, byBackend };
  }

  function render() {
    const teamList = choice([["", say("spend.allTeams")], ...teams.map((name) => [name, name])], team, {
      onchange: (event) => { team = event.target.value; reload(); },
    });
    element.replaceChildren(
      make("h2", {}, say("section.spend")),
      make("div", { class: "row" }, span.controls(), make("label", {}, say("spend.team"), teamList), make("button", { onclick: download }, say("spend.csv"))),
      heard,
      report);
    showReport();
  }

  async function reload() {
    report.setAttribute("aria-busy", "true");
    const isLoaded = await attempt(element, async () => {
      await load();
      showReport();
      heard.textContent = headline(addUp(loaded.byDay));
    });
    if (!isLoaded) report.replaceChildren(); // Sums of other days would be taken for these.
    report.removeAttribute("aria-busy");
  }

  function showReport() {
    const total = addUp(loaded.byDay);
    if (loaded.byDay.length === 0) {
      report.replaceChildren(make("p", { class: "empty" }, say("spend.empty")));
      return;
    }
    report.replaceChildren(
      make("div", { class: "card total" }, make("p", { class: "sum" }, headline(total)), notesOf(total).map((text) => make("p", { class: "hint" }, text))),
      make("div", { class: "card" }, chartOf(loaded)),
      make("div", { class: "columns" },
        make("div", { class: "card" }, shareTable("team", loaded.byTeam, total)),
        make("div", { class: "card" }, shareTable("model", loaded.byModel, total)),
        new Set(loaded.byBackend.map((row) => row.backend)).size > 1 && make("div", { class: "card" }, shareTable("backend", loaded.byBackend, total))),
      make("details", { class: "card" }, make("summary", {}, say("spend.asTable")), sumTable({ caption: say("spend.byDay"), title: say("spend.day"), sums: addUpBy(loaded.byDay, "day").reverse(), total, name: (sum) => dayInWords(sum.name) })));
  }

  async function download() {
    const asked = { ...span.value(), team };
    await attempt(element, async () => {
      const answer = await ask(path(asked, { format: "csv" }));
      const link = make("a", { href: URL.createObjectURL(await answer.blob()), download: `usage-${asked.from}-${asked.to}.csv` });
      link.click();
      URL.revokeObjectURL(link.href);
      tell(say("spend.csvDone"));
    });
  }

  return { element, load, render };
}

function path({ from, to, team }, more) {
  return `/admin/usage?${new URLSearchParams({ from, to, ...(team && { team }), ...more })}`;
}

// Returns "$12.30 for 40 images", or how many test images there are if nothing else was made.
function headline(sum) {
  if (sum.images === 0 && sum.unknown === 0 && sum.test > 0) return say("spend.testOnly", sum.test, number(sum.test));
  return say("spend.sum", money(sum.microusd), sum.images, number(sum.images));
}

function notesOf(sum) {
  const notes = [];
  if (sum.unpriced) notes.push(say("spend.unpriced", sum.unpriced, number(sum.unpriced)));
  if (sum.unknown) notes.push(say("spend.unknown", sum.unknown, number(sum.unknown), money(sum.unknownMicrousd)));
  if (sum.test && (sum.images || sum.unknown)) notes.push(say("spend.test", sum.test, number(sum.test)));
  return notes;
}

// Shows money; where nothing was charged, images, as a sandbox makes no spend.
function chartOf({ days, byDay }) {
  const sums = new Map(addUpBy(byDay, "day").map((sum) => [sum.name, sum]));
  const each = days.map((name) => ({ name, sum: sums.get(name) ?? addUp([]) }));
  const hasMoney = each.some(({ sum }) => sum.microusd + sum.unknownMicrousd > 0);
  const short = new Intl.DateTimeFormat(languageTag(), { month: "short", day: "numeric", timeZone: "UTC" });
  return drawChart({
    title: say(hasMoney ? "chart.money" : "chart.images"),
    names: hasMoney ? { solid: say("chart.charged"), hatched: say("chart.mayBeCharged") } : { solid: say("chart.live"), hatched: say("chart.test") },
    columns: each.map(({ name, sum }) => ({
      name,
      sum,
      short: short.format(new Date(name)),
      solid: hasMoney ? sum.microusd : sum.images + sum.unknown,
      hatched: hasMoney ? sum.unknownMicrousd : sum.test,
    })),
    read: ({ name, sum }) => say("chart.column", dayInWords(name), headline(sum), notesOf(sum)),
    tick: hasMoney ? money : (value) => (Number.isInteger(value) ? number(value) : ""),
  });
}

// Returns the table of a column of `/admin/usage`, largest spend first, with bars of the shares.
function shareTable(column, rows, total) {
  return sumTable({
    caption: say(`spend.by.${column}`),
    title: say(`spend.${column}`),
    sums: largestFirst(addUpBy(rows, column)),
    total,
    name: (sum) => [sum.name || say("spend.unnamed"), shareBar(total.microusd ? sum.microusd / total.microusd : 0)],
  });
}

// Returns a table of *sums*; a column that would be all zeros is left out.
function sumTable({ caption, title, sums, total, name }) {
  const count = (unit, word) => ({ title: say(word), isNumber: true, cell: (sum) => number(sum[unit]) });
  return table({
    caption,
    rows: sums,
    empty: "",
    columns: [
      { title, isName: true, cell: name },
      (total.images > 0 || total.unknown > 0) && { title: say("spend.microusd"), isNumber: true, cell: (sum) => money(sum.microusd) },
      (total.images > 0 || total.unknown > 0) && count("images", "spend.images"),
      total.unpriced > 0 && count("unpriced", "spend.unpriced.column"),
      total.unknown > 0 && { title: say("spend.unknownImages"), isNumber: true, cell: (sum) => (sum.unknown ? say("spend.unknownCell", number(sum.unknown), money(sum.unknownMicrousd)) : "0") },
      total.test > 0 && count("test", "spend.test.column"),
    ].filter(Boolean),
  });
}

// Returns a bar of the share of the spend, which the number beside it says, too.
function shareBar(share) {
  const bar = make("span", { class: "share", "aria-hidden": "true" });
  bar.style.inlineSize = `${share * 100}%`;
  return bar;
}
