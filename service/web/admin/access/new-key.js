// Shows a new key, once: the gateway keeps only a hash of it.

import { make } from "../../page/dom.js";
import { say } from "../../page/words.js";
import { copyButton } from "../parts/copy.js";

// *done* is called when the person has kept the key. *created* may have a `fault`, which `faultOf` found.
export function newKeyCard(created, done) {
  const token = make("input", { readonly: true, value: created.key, class: "code" });
  const use = make("textarea", { readonly: true, rows: 2, class: "code", wrap: "off", value: `export OPENAI_BASE_URL=${location.origin}/v1\nexport OPENAI_API_KEY=${created.key}` });
  return make("section", { class: "card new-key", tabindex: -1, "aria-labelledby": "new-key-title" },
    make("h3", { id: "new-key-title" }, say("newKey.title", created.user, created.team)),
    created.fault && make("p", { class: "bad", role: "alert" }, say(`newKey.${created.fault}`)),
    make("p", { class: "warn" }, say("newKey.once")),
    make("div", { class: "row" }, make("label", {}, say("newKey.key"), token), copyButton(token)),
    make("div", { class: "row" }, make("label", {}, say("newKey.use"), use), copyButton(use)),
    make("p", { class: "hint" }, say("newKey.hint")),
    make("button", { type: "button", onclick: done }, say("newKey.done")));
}

// Tries a new key. Returns "ignored" by a gateway that asks for none, "refused" by one that takes only tokens, or null: no setting is
// told to clients.
export async function faultOf({ key, team }) {
  const answer = await fetch("/v1/usage", { headers: { authorization: `Bearer ${key}` } }).catch(() => null);
  if (answer === null || answer.status >= 500) return null;
  if (!answer.ok) return "refused";
  return (await answer.json()).team === team ? null : "ignored";
}
