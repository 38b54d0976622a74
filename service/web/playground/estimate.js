// Shows what the order would cost and what is left of each limit, a moment after the last change.

import { read, Refused } from "../page/api.js";
import { make } from "../page/dom.js";
import { money } from "../page/format.js";
import { onLanguage, say } from "../page/words.js";
import { describeFailure } from "./failures.js";
import { limitList } from "./limits.js";
import { contractOf } from "./models.js";
import { fieldsOf } from "./place.js";

const PAUSE_MS = 400;
// Told elsewhere: no answer, no key; or soon over: too many questions.
const UNTOLD = [0, 401, 429];

// Fills *container*. *onAnswer* is called with the refusal of each order that was asked about, or null, and returns true if it
// has told the person.
export function createEstimate(container, { onAnswer }) {
  let timer = 0;
  let last = null;
  // Why there is no estimate, if nothing else on the page tells it.
  let untold = null;
  let request = new AbortController();

  // Asks about *order*, unless another follows at once. An old answer never replaces a newer one.
  function ask(order, { pauseMs = PAUSE_MS } = {}) {
    clearTimeout(timer);
    request.abort();
    request = new AbortController();
    const { signal } = request;
    timer = setTimeout(async () => {
      try {
        last = await estimateOf(order, signal);
        untold = null;
        onAnswer(refusalIn(last));
      } catch (error) {
        if (signal.aborted) return;
        last = null;
        untold = onAnswer(error) || UNTOLD.includes(error.status) ? null : error;
      }
      draw();
    }, pauseMs);
  }

  function draw() {
    if (!last) return container.replaceChildren(...(untold ? [make("p", { class: "warn" }, describeFailure(untold).title)] : []));
    const isOpen = container.querySelector(".limits")?.open;
    const refused = refusalIn(last) && describeFailure(refusalIn(last));
    container.replaceChildren(...[
      make("p", { id: "price" }, priceOf(last)),
      refused && !refusalIn(last).param && make("p", { class: "warn" }, say("wouldBeRefused", refused.title)),
      limitList(last.limits, last.realm, { isOpen }),
    ].filter(Boolean));
  }

  onLanguage(draw);
  return {
    ask,
    // Returns "sandbox", "live", or null if the gateway does not tell.
    async realm(order) {
      last ??= await estimateOf(order).catch(() => null);
      return last?.realm ?? null;
    },
  };
}

async function estimateOf(order, signal) {
  const json = { operation: order.operation, ...fieldsOf(order) };
  if (order.operation !== "generate") json.inputs = Math.max(1, order.images.length);
  const [answer, { parameters }] = await Promise.all([
    read("/v1/images/estimate", { method: "POST", json, signal }),
    contractOf(order.model),
  ]);
  return { ...answer, isOpen: parameters.quality?.default === "auto" && !order.parameters.quality };
}

// Returns why the order would be refused now, or null.
function refusalIn({ refused_by: refused }) {
  return refused ? new Refused({ ...refused, status: 429 }) : null;
}

// Test images have no price, and no sum that looks like one. *isOpen*: the model chooses a quality, and the dearest counts.
function priceOf({ realm, microusd, n, isOpen }) {
  if (realm === "sandbox") return say("price.test", n);
  return microusd === null ? say("price.unknown") : say(isOpen ? "price.open" : "price.highest", money(microusd), n);
}
