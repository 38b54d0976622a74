// Says the limits and rules of a policy in words.

import { money, number } from "../../page/format.js";
import { learn, say } from "../../page/words.js";
import { words } from "./limits-words.en-zh.js";

learn(words);

// Amounts, in the order of `GET /admin/policies`; 0 is no limit.
export const COUNTS = ["requests_per_min", "images_per_min", "images_per_day", "images_in_flight"];
export const BUDGET = "budget_per_month_microusd";

// Returns "60 requests a minute, 500 images a day, $200 a month".
export function limitsInWords(policy) {
  const texts = COUNTS.filter((name) => policy[name] > 0).map((name) => say(`limit.${name}`, policy[name], number(policy[name])));
  if (policy[BUDGET] > 0) texts.push(say("limit.budget", money(policy[BUDGET]).replace(/\.00$/, "")));
  if (policy.max_n > 0) texts.push(say("limit.max_n", policy.max_n));
  if (policy.max_size) texts.push(say("limit.max_size", policy.max_size.replace("x", " × ")));
  if (policy.models?.length) texts.push(say("limit.models", policy.models));
  if (policy.cache === false) texts.push(say("limit.noCache"));
  if (policy.cache_scope) texts.push(say(`limit.scope.${policy.cache_scope}`));
  if (policy.equal_orders === "share") texts.push(say("limit.share"));
  return texts.length ? say("list", texts) : say("limit.none");
}
