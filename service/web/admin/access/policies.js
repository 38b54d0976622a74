// Policies: named sets of limits, for teams, users and keys.

import { ask, read } from "../../page/api.js";
import { make } from "../../page/dom.js";
import { learn, say } from "../../page/words.js";
import { isSure } from "../parts/dialogs.js";
import { attempt } from "../parts/refusal.js";
import { table } from "../parts/table.js";
import { tell } from "../parts/tell.js";
import { limitsInWords } from "./limits.js";
import { askForPolicy } from "./policy-form.js";
import { words } from "./policies-words.en-zh.js";

learn(words);

export function createPolicies() {
  const element = make("section");
  let policies = [], teams = [], keys = [], models = [];

  async function load() {
    const paths = ["/admin/policies", "/admin/teams", "/admin/keys", "/v1/models"];
    [policies, teams, keys, models] = (await Promise.all(paths.map((path) => read(path)))).map((list) => list.data);
  }

  function render() {
    element.replaceChildren(
      make("div", { class: "title" }, make("h2", { tabindex: -1 }, say("section.policies")), make("button", { class: "primary", onclick: () => edit(null) }, say("policies.make"))),
      table({
        caption: say("policies.count", policies.length),
        rows: policies,
        empty: say("policies.empty"),
        columns: [
          { title: say("policies.name"), cell: ({ name }) => name, isName: true },
          { title: say("policies.limits"), cell: limitsInWords },
          { title: say("policies.usedBy"), cell: (policy) => usersOf(policy.name) || say("policies.unused") },
          { title: say("change"), cell: actions },
        ],
      }));
  }

  function usersOf(name) {
    const users = teams.flatMap((team) => [
      ...(team.policy === name ? [say("policies.ofTeam", team.name)] : []),
      ...(team.user_policy === name ? [say("policies.ofUsers", team.name)] : []),
    ]);
    const count = keys.filter((key) => key.policy === name).length;
    return say("list", count ? [...users, say("policies.ofKeys", count)] : users);
  }

  function actions(policy) {
    if (policy.declared) return make("span", { class: "hint" }, say("declaredWhy"));
    return make("div", { class: "buttons" },
      make("button", { "aria-label": say("changeThis", policy.name), onclick: () => edit(policy) }, say("change")),
      make("button", { class: "danger", "aria-label": say("policies.removeThis", policy.name), onclick: () => remove(policy) }, say("policies.remove")));
  }

  async function edit(policy) {
    const saved = await askForPolicy({ policy, taken: policies.map(({ name }) => name), models: models.map(({ id }) => id) });
    if (saved) await attempt(element, () => changed(say("policies.saved", saved.name, limitsInWords(saved))));
  }

  async function remove({ name }) {
    const users = usersOf(name);
    const sure = await isSure(say("policies.removeThis", name), users ? say("policies.removeUsed", users) : say("policies.removeMeans"), say("policies.remove"));
    if (!sure) return;
    await attempt(element, async () => {
      await ask(`/admin/policies/${encodeURIComponent(name)}`, { method: "DELETE" });
      await changed(say("policies.removed", name));
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
