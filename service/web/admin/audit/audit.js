// Audit: what admins did, newest first.

import { read } from "../../page/api.js";
import { make } from "../../page/dom.js";
import { moment } from "../../page/format.js";
import { learn, say, sayIfKnown } from "../../page/words.js";
import { limitsInWords } from "../access/limits.js";
import { attempt } from "../parts/refusal.js";
import { table } from "../parts/table.js";
import { ago } from "../parts/times.js";
import { words } from "./words.en-zh.js";

learn(words);

const FIRST = 100;
const MOST = 1000;

export function createAudit() {
  const element = make("section");
  let most = FIRST, lines = [], keys = new Map();

  async function load() {
    const [audit, keyList] = await Promise.all([read(`/admin/audit?limit=${most}`), read("/admin/keys")]);
    lines = audit.data;
    keys = new Map(keyList.data.map((key) => [key.id, key]));
  }

  function render() {
    element.replaceChildren(
      make("h2", { tabindex: -1 }, say("section.audit")),
      table({
        caption: say("audit.caption", lines.length),
        rows: lines,
        empty: say("audit.empty"),
        columns: [
          { title: say("audit.when"), cell: (line) => ago(line.at) },
          { title: say("audit.who"), cell: (line) => nameOf(line.who) },
          { title: say("audit.act"), cell: (line) => sayIfKnown(`act.${line.act}`) ?? line.act, isName: true },
          { title: say("audit.target"), cell: (line) => targetOf(line.target) },
          { title: say("audit.details"), cell: (line) => make("span", { title: line.details }, detailsOf(line)) },
        ],
      }),
      lines.length === FIRST && most === FIRST ? make("button", { onclick: showMore }, say("audit.more", MOST)) : "");
  }

  async function showMore() {
    most = MOST;
    await attempt(element, async () => {
      await load();
      render();
      element.querySelector("h2").focus();
    });
  }

  // Returns an admin's name beside the id of the key; a revoked key has only its id.
  function nameOf(who) {
    const key = keys.get(who);
    if (key) return [`${key.user} (${key.team}) `, make("code", {}, who)];
    return sayIfKnown(`who.${who}`) ?? make("code", {}, who);
  }

  function targetOf(target) {
    const [team, id] = target.split("/");
    const key = keys.get(id);
    return key ? [say("audit.keyOf", key.user, team), " ", make("code", {}, id)] : target;
  }

  return { element, load, render };
}

// Returns the details of a line for people: limits in words, changes with arrows, instants as dates.
function detailsOf({ act, details }) {
  const pairs = details.split(" ").filter(Boolean).map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
  if (act === "put_policy") return limitsInWords(policyOf(pairs));
  const texts = pairs.filter(([name]) => name !== "user").map(([name, value]) => {
    const shown = name === "expires_at" ? moment(Number(value) * 1000) : value.split("->").map((part) => sayIfKnown(`${name}.${part}`) ?? part).join(" → ");
    return [sayIfKnown(`detail.${name}`) ?? name, shown].join(say("colon"));
  });
  return say("list", texts);
}

function policyOf(pairs) {
  const policy = Object.fromEntries(pairs.map(([name, value]) => [name, /^\d+$/.test(value) ? Number(value) : value]));
  return { ...policy, models: policy.models?.split(","), cache: policy.caches !== "False" };
}
