// Shows what the order would cost and what is left of each limit, a moment after the last change.

import { read, Refused } from "../common/api.js";
import { make } from "../common/dom.js";
import { money } from "../common/format.js";
import { onLanguage, say } from "../common/words.js";
import { describeFailure } from "./failures.js";
import { limitList } from "./limits.js";
import { fieldsOf } from "./place.js";

const PAUSE_MS = 400;

// Fills *container*. *onAnswer* is called with the refusal of each order that was asked about, or null.
export function createEstimate(container, { onAnswer }) {
  let timer = 0;
  let last = null;
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
        onAnswer(refusalIn(last));
      } catch (error) {
        if (signal.aborted) return;
        last = null;
        onAnswer(error);
      }
      draw();
    }, pauseMs);
  }

  function draw() {
    if (!last) return container.replaceChildren();
    const isOpen = container.querySelector(".limits")?.open;
    const refused = refusalIn(last) && describeFailure(refusalIn(last));
    container.replaceChildren(...[
      make("p", { id: "price" }, priceOf(last)),
      refused && make("p", { class: "warn" }, say("wouldBeRefused", refused.title)),
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

function estimateOf(order, signal) {
  const json = { operation: order.operation, ...fieldsOf(order) };
  if (order.operation !== "generate") json.inputs = Math.max(1, order.images.length);
  return read("/v1/images/estimate", { method: "POST", json, signal });
}

// Returns why the order would be refused now, or null.
function refusalIn({ refused_by: refused }) {
  return refused ? new Refused({ ...refused, status: 429 }) : null;
}

// Test images have no price, and no sum that looks like one.
function priceOf({ realm, microusd, n }) {
  if (realm === "sandbox") return say("price.test", n);
  return microusd === null ? say("price.unknown") : say("price.highest", money(microusd), n);
}
