// Models that end: when, what answers for them then, and which teams still use them.

import { read } from "../../page/api.js";
import { make } from "../../page/dom.js";
import { day as dayInWords, fromNow, number } from "../../page/format.js";
import { learn, say } from "../../page/words.js";
import { attempt } from "../parts/refusal.js";
import { table } from "../parts/table.js";
import { createSpan } from "../spend/span.js";
import { words } from "./words.en-zh.js";

learn(words);

export function createModels() {
  const element = make("section");
  const tables = make("div");
  const span = createSpan(reload);
  let ending = [], rows = [], latest = 0;

  async function load() {
    const turn = ++latest;
    const [models, usage] = await Promise.all([read("/v1/models"), read(`/admin/usage?${new URLSearchParams(span.value())}`)]);
    if (turn !== latest) return;
    ending = models.data.filter((model) => model.shutdown_date !== null);
    rows = usage.data;
  }

  async function reload() {
    const isLoaded = await attempt(element, async () => {
      await load();
      showTables();
    });
    if (!isLoaded) tables.replaceChildren();
  }

  function render() {
    element.replaceChildren(
      make("h2", {}, say("section.models")),
      make("div", { class: "row" }, span.controls()),
      tables);
    showTables();
  }

  function showTables() {
    const today = new Date().toISOString().slice(0, 10);
    const [ended, alive] = [ending.filter(isEnded(today)), ending.filter((model) => !isEnded(today)(model))];
    tables.replaceChildren(
      table({ caption: say("models.alive"), rows: soonestFirst(alive), empty: say("models.noneAlive"), columns: [name(), end(), after(), usedBy()] }),
      table({ caption: say("models.ended"), rows: soonestFirst(ended), empty: say("models.noneEnded"), columns: [name(), end(), after()] }),
      make("p", { class: "hint" }, say("models.hint"), " ", make("code", {}, "imagegw_dying_model_orders_total")));
  }

  const name = () => ({ title: say("models.model"), cell: ({ id }) => id, isName: true });
  const end = () => ({ title: say("models.ends"), cell: endOf });
  const after = () => ({ title: say("models.answeredBy"), cell: (model) => model.answered_by ?? say("models.itself") });
  const usedBy = () => ({ title: say("models.usedBy"), cell: ({ id }) => teamsOf(id) });

  function teamsOf(model) {
    const teams = Map.groupBy(rows.filter((row) => row.model === model), (row) => row.team);
    if (teams.size === 0) return say("models.unused");
    const counts = [...teams].map(([team, each]) => [team, each.reduce((sum, { images }) => sum + images, 0)]);
    counts.sort((a, b) => b[1] - a[1]);
    return make("ul", {}, counts.map(([team, count]) => make("li", {}, say("models.teamImages", team, count, number(count)))));
  }

  return { element, load, render };
}

const isEnded = (today) => (model) => model.shutdown_date <= today;

function soonestFirst(models) {
  return models.toSorted((a, b) => a.shutdown_date.localeCompare(b.shutdown_date) || a.id.localeCompare(b.id));
}

function endOf({ shutdown_date: shutdown }) {
  const seconds = (Date.parse(shutdown) - Date.now()) / 1000;
  return make("span", { class: Math.abs(seconds) < 30 * 86_400 && seconds > 0 && "warn" }, `${dayInWords(shutdown)} (${fromNow(seconds)})`);
}
