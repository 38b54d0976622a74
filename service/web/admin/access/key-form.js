// The form of a new key.

import { read } from "../../page/api.js";
import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";
import { choice, nameIn, plain, suggested } from "../parts/choices.js";
import { Mistake, openForm } from "../parts/dialogs.js";
import { isOfGateway } from "./reserved.js";

const DAY_S = 86_400;
const LIFETIMES = ["0", "30", "90", "365", "own"]; // Days; 0 never ends.
const ROLES = ["user", "service", "admin"];

// Resolves to the created key, or to null if the person leaves.
export function askForKey({ team, teams, policies }) {
  const names = teams.filter((each) => !each.closed && !isOfGateway(each)).map(({ name }) => name);
  const { input: teamInput, list } = suggested(names, team);
  const user = plain("", { placeholder: "anna" });
  const role = choice(ROLES.map((name) => [name, say(`role.${name}.about`)]), "user");
  const policy = choice([["", say("none")], ...policies.map(({ name }) => [name, name])], "");
  const lastDay = plain("", { type: "date", hidden: true, "aria-label": say("keys.lastDay") });
  const lifetime = choice(LIFETIMES.map((days) => [days, say("lifetime", days)]), "0", {
    onchange: () => { lastDay.hidden = lifetime.value !== "own"; },
  });
  return openForm({
    title: say("keys.make"),
    submit: say("keys.make"),
    aside: list,
    fields: [
      { name: "team", label: say("keys.team"), control: teamInput, hint: say("keys.teamHint") },
      { name: "user", label: say("keys.user"), control: user, hint: say("keys.userHint") },
      { name: "role", label: say("keys.role"), control: role },
      { name: "policy", label: say("keys.policy"), control: policy, hint: say("keys.policyHint") },
      { name: "lifetime", label: say("keys.lifetime"), control: lifetime },
      { name: "expires_at", label: "", control: lastDay },
    ],
    send: () => {
      const fields = { team: nameIn(teamInput), user: user.value.trim(), role: role.value };
      for (const name of ["team", "user"]) if (!fields[name]) throw new Mistake(name, "wrong.missing");
      if (policy.value) fields.policy = policy.value;
      const ends = endOf(lifetime.value, lastDay.value);
      if (ends !== null) fields.expires_at = ends;
      return read("/admin/keys", { method: "POST", json: fields });
    },
  });
}

// Returns the instant (seconds since 1970) at which a key ends, or null for never. The last day is a whole day (UTC).
function endOf(lifetime, lastDay) {
  if (lifetime === "0") return null;
  if (lifetime !== "own") return Math.floor(Date.now() / 1000) + Number(lifetime) * DAY_S;
  if (!lastDay) throw new Mistake("expires_at", "wrong.expires_at");
  return Date.parse(`${lastDay}T00:00:00Z`) / 1000 + DAY_S;
}
