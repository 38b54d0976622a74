// Keys: found, made and revoked.

import { ask, read } from "../../page/api.js";
import { make } from "../../page/dom.js";
import { learn, say } from "../../page/words.js";
import { choice } from "../parts/choices.js";
import { isSure } from "../parts/dialogs.js";
import { attempt } from "../parts/refusal.js";
import { table } from "../parts/table.js";
import { tell } from "../parts/tell.js";
import { ago } from "../parts/times.js";
import { askForKey } from "./key-form.js";
import { faultOf, newKeyCard } from "./new-key.js";
import { words } from "./keys-words.en-zh.js";

learn(words);

export function createKeys() {
  const element = make("section");
  const chosen = { team: "", text: "" };
  let keys = [], teams = [], policies = [], created = null;

  async function load() {
    const lists = await Promise.all(["/admin/keys", "/admin/teams", "/admin/policies"].map((path) => read(path)));
    [keys, teams, policies] = lists.map((list) => list.data);
    keys.reverse();
  }

  function render() {
    const list = make("div");
    const heading = make("h2", { tabindex: -1 }, say("section.keys"));
    element.replaceChildren(
      make("div", { class: "title" }, heading, make("button", { class: "primary", onclick: makeKey }, say("keys.make"))),
      created ? newKeyCard(created, () => { created = null; render(); element.querySelector("h2").focus(); }) : "",
      filters(() => list.replaceChildren(listed())),
      list);
    list.append(listed());
  }

  function filters(changed) {
    const team = choice([["", say("keys.allTeams")], ...teams.map(({ name }) => [name, name])], chosen.team, {
      onchange: (event) => { chosen.team = event.target.value; changed(); },
    });
    const text = make("input", { type: "search", value: chosen.text, oninput: (event) => { chosen.text = event.target.value; changed(); } });
    return make("div", { class: "row", role: "search" }, make("label", {}, say("keys.team"), team), make("label", {}, say("keys.search"), text));
  }

  function listed() {
    const text = chosen.text.trim().toLowerCase();
    const rows = keys.filter((key) => (!chosen.team || key.team === chosen.team)
      && [key.user, key.team, key.id, key.hint, key.policy ?? "", key.role].some((value) => value.toLowerCase().includes(text)));
    return table({
      caption: say("keys.count", rows.length),
      rows,
      empty: say(keys.length ? "keys.noMatch" : "keys.empty"),
      columns: [
        { title: say("keys.user"), cell: (key) => key.user, isName: true },
        { title: say("keys.team"), cell: (key) => key.team },
        { title: say("keys.role"), cell: (key) => say(`role.${key.role}`) },
        { title: say("keys.policy"), cell: (key) => key.policy ?? say("none") },
        { title: say("keys.hint"), cell: (key) => make("code", { title: key.id }, key.hint) },
        { title: say("keys.created"), cell: (key) => ago(key.created_at) },
        { title: say("keys.ends"), cell: endOf },
        { title: say("keys.revoke"), cell: (key) => make("button", { class: "danger", "aria-label": say("keys.revokeThis", key.user, key.team), onclick: () => revoke(key) }, say("keys.revoke")) },
      ],
    });
  }

  async function makeKey() {
    const answer = await askForKey({ team: chosen.team, teams, policies });
    if (answer === null) return;
    created = answer;
    render(); // At once: whatever happens to the list, the key must be seen.
    element.querySelector(".new-key").focus();
    await attempt(element, async () => {
      created.fault = await faultOf(created);
      await load();
      render();
      tell(say("keys.made", answer.user, answer.team));
      element.querySelector(".new-key")?.focus();
    });
  }

  async function revoke(key) {
    const sure = await isSure(say("keys.revokeThis", key.user, key.team), say("keys.revokeMeans", key.hint), say("keys.revoke"));
    if (!sure) return;
    await attempt(element, async () => {
      await ask(`/admin/keys/${encodeURIComponent(key.team)}/${encodeURIComponent(key.id)}`, { method: "DELETE" });
      await load();
      if (created?.id === key.id) created = null;
      render();
      tell(say("keys.revoked", key.user, key.team));
      element.querySelector("h2").focus();
    });
  }

  return { element, load, render };
}

function endOf(key) {
  if (key.secret_listed === false) return make("span", { class: "bad" }, say("keys.secretLost"));
  if (key.expires_at === null) return say("keys.never");
  const isOver = key.expires_at * 1000 <= Date.now();
  return make("span", { class: isOver && "bad" }, isOver ? `${say("keys.expired")} · ` : "", ago(key.expires_at));
}
