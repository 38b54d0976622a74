// The form of a policy, which says in words what it means while it is filled in.

import { read } from "../../page/api.js";
import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";
import { choice, nameIn, plain } from "../parts/choices.js";
import { Mistake, openForm } from "../parts/dialogs.js";
import { BUDGET, COUNTS, limitsInWords } from "./limits.js";

const MOST_N = 10;

// Resolves to the saved policy, or to null if the person leaves. *taken* are the names of policies, *models* those of models.
export function askForPolicy({ policy, taken, models }) {
  const name = plain(policy?.name ?? "", { placeholder: "careful", readonly: policy !== null });
  const counts = Object.fromEntries(COUNTS.map((each) => [each, plain(policy?.[each] || "", { inputmode: "numeric" })]));
  const budget = plain(policy?.[BUDGET] ? policy[BUDGET] / 1e6 : "", { inputmode: "decimal" });
  const maxN = choice([["0", say("policies.noLimit")], ...Array.from({ length: MOST_N }, (_, i) => [String(i + 1), String(i + 1)])], String(policy?.max_n ?? 0));
  const maxSize = plain(policy?.max_size ?? "", { placeholder: "1536x1024" });
  const allowed = modelChoice(models, policy?.models ?? []);
  const cache = choice(["true", "false"].map((value) => [value, say(`policies.cache.${value}`)]), String(policy?.cache ?? true));
  const scope = choice(["", "user", "team"].map((value) => [value, say(`policies.scope.${value || "default"}`)]), policy?.cache_scope ?? "");
  const equal = choice(["differ", "share"].map((value) => [value, say(`policies.equal.${value}`)]), policy?.equal_orders ?? "differ");

  const values = () => ({
    ...Object.fromEntries(COUNTS.map((each) => [each, wholeNumber(each, counts[each].value)])),
    [BUDGET]: microusd(budget.value),
    models: allowed.chosen(),
    max_n: Number(maxN.value),
    max_size: maxSize.value.trim(),
    cache: cache.value === "true",
    ...(scope.value && { cache_scope: scope.value }),
    equal_orders: equal.value,
  });
  const meaning = make("p", { class: "meaning", role: "status" });
  const explain = () => {
    meaning.textContent = `${say("policies.inWords")} ${attempt(values)}`;
  };
  explain();

  const answer = openForm({
    title: policy ? say("changeThis", policy.name) : say("policies.make"),
    submit: say("save"),
    aside: meaning,
    fields: [
      { name: "name", label: say("policies.name"), control: name },
      ...COUNTS.map((each) => ({ name: each, label: say(`policies.${each}`), control: counts[each] })),
      { name: BUDGET, label: say("policies.budget"), control: budget, hint: say("policies.emptyHint") },
      { name: "max_n", label: say("policies.maxN"), control: maxN },
      { name: "max_size", label: say("policies.maxSize"), control: maxSize },
      { name: "models", label: "", control: allowed.element, isWide: true },
      { name: "cache", label: say("policies.cache"), control: cache, isWide: true },
      { name: "cache_scope", label: say("policies.scope"), control: scope },
      { name: "equal_orders", label: say("policies.equal"), control: equal },
    ],
    send: () => {
      const text = nameIn(name);
      if (!text) throw new Mistake("name", "wrong.missing");
      if (!policy && taken.includes(text)) throw new Mistake("name", "policies.exists");
      return read(`/admin/policies/${encodeURIComponent(text)}`, { method: "PUT", json: values() });
    },
  });
  for (const kind of ["input", "change"]) meaning.closest("form").addEventListener(kind, explain);
  return answer;
}

function attempt(values) {
  try {
    return limitsInWords(values());
  } catch (error) {
    if (error instanceof Mistake) return say(error.word);
    throw error;
  }
}

function wholeNumber(name, text) {
  const trimmed = text.trim();
  if (!/^\d{0,10}$/.test(trimmed)) throw new Mistake(name, "wrong.number");
  return Number(trimmed);
}

// Money is whole micro-dollars: six digits after the point at most.
function microusd(text) {
  const trimmed = text.trim();
  if (!/^(\d{1,9}(\.\d{1,6})?)?$/.test(trimmed)) throw new Mistake(BUDGET, "wrong.money");
  return Math.round(Number(trimmed) * 1e6);
}

function modelChoice(models, chosen) {
  // A policy may name a model that the catalogue no longer has.
  const names = [...models, ...chosen.filter((name) => !models.includes(name))];
  const boxes = names.map((name) => make("input", { type: "checkbox", value: name, checked: chosen.includes(name) }));
  const element = make("fieldset", { tabindex: -1 }, make("legend", {}, say("policies.models")),
    make("div", { class: "boxes" }, boxes.map((box) => make("label", { class: "check" }, box, box.value))));
  return { element, chosen: () => boxes.filter((box) => box.checked).map((box) => box.value) };
}
