// Teams: made, changed, closed and reopened.

import { read } from "../../page/api.js";
import { make } from "../../page/dom.js";
import { learn, say } from "../../page/words.js";
import { choice, nameIn, plain } from "../parts/choices.js";
import { isSure, Mistake, openForm } from "../parts/dialogs.js";
import { attempt } from "../parts/refusal.js";
import { table } from "../parts/table.js";
import { tell } from "../parts/tell.js";
import { limitsInWords } from "./limits.js";
import { isOfGateway } from "./reserved.js";
import { words } from "./teams-words.en-zh.js";

learn(words);

export function createTeams() {
  const element = make("section");
  let teams = [], policies = new Map();

  async function load() {
    const [teamList, policyList] = await Promise.all([read("/admin/teams"), read("/admin/policies")]);
    teams = teamList.data;
    policies = new Map(policyList.data.map((policy) => [policy.name, policy]));
  }

  function render() {
    element.replaceChildren(
      make("div", { class: "title" }, make("h2", { tabindex: -1 }, say("section.teams")), make("button", { class: "primary", onclick: () => edit(null) }, say("teams.make"))),
      table({
        caption: say("teams.count", teams.length),
        rows: teams,
        empty: say("teams.empty"),
        columns: [
          { title: say("teams.name"), cell: ({ name }) => name, isName: true },
          { title: say("teams.policy"), cell: ({ policy }) => limitsOf(policy) },
          { title: say("teams.userPolicy"), cell: (team) => limitsOf(team.user_policy) },
          { title: say("teams.state"), cell: stateOf },
          { title: say("change"), cell: actions },
        ],
      }));
  }

  function limitsOf(name) {
    if (name === null) return say("none");
    const policy = policies.get(name);
    return make("span", {}, make("strong", {}, name), policy ? `${say("colon")}${limitsInWords(policy)}` : "");
  }

  function actions(team) {
    if (isOfGateway(team)) return make("span", { class: "hint" }, say("teams.ofGateway"));
    if (team.declared) return make("span", { class: "hint" }, say("declaredWhy"));
    const word = team.closed ? "teams.reopen" : "teams.close";
    return make("div", { class: "buttons" },
      make("button", { "aria-label": say("changeThis", team.name), onclick: () => edit(team) }, say("change")),
      make("button", { class: !team.closed && "danger", "aria-label": say(`${word}This`, team.name), onclick: () => setClosed(team, !team.closed) }, say(word)));
  }

  async function edit(team) {
    const name = plain(team?.name ?? "", { placeholder: "shop", readonly: team !== null });
    const options = [["", say("none")], ...[...policies.values()].map((policy) => [policy.name, `${policy.name}${say("colon")}${limitsInWords(policy)}`])];
    const policy = choice(options, team?.policy ?? "");
    const userPolicy = choice(options, team?.user_policy ?? "");
    const saved = await openForm({
      title: team ? say("changeThis", team.name) : say("teams.make"),
      submit: say("save"),
      fields: [
        { name: "name", label: say("teams.name"), control: name },
        { name: "policy", label: say("teams.policy"), control: policy, hint: say("teams.policyHint"), isWide: true },
        { name: "user_policy", label: say("teams.userPolicy"), control: userPolicy, hint: say("teams.userPolicyHint"), isWide: true },
      ],
      send: () => {
        const text = nameIn(name);
        if (!text) throw new Mistake("name", "wrong.missing");
        if (!team && teams.some((each) => each.name === text)) throw new Mistake("name", "teams.exists");
        return put(text, { policy: policy.value || null, user_policy: userPolicy.value || null });
      },
    });
    if (saved) await attempt(element, () => changed(say("teams.saved", saved.name)));
  }

  async function setClosed(team, closed) {
    const sure = !closed || await isSure(say("teams.closeThis", team.name), say("teams.closeMeans"), say("teams.close"));
    if (!sure) return;
    await attempt(element, async () => {
      await put(team.name, { closed });
      await changed(say(closed ? "teams.closed" : "teams.reopened", team.name));
    });
  }

  async function changed(text) {
    await load();
    render();
    tell(text);
    element.querySelector("h2").focus();
  }

  return { element, load, render };
}

function put(name, fields) {
  return read(`/admin/teams/${encodeURIComponent(name)}`, { method: "PUT", json: fields });
}

function stateOf(team) {
  return team.closed ? make("span", { class: "bad" }, say("teams.isClosed")) : make("span", { class: "good" }, say("teams.isOpen"));
}
