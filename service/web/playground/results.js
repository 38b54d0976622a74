// Runs the orders of this visit and shows each on a card. Finished images go to `onImage`.

import { onLanguage, say } from "../page/words.js";
import { createOrderCard } from "./ordercard.js";
import { place } from "./place.js";

// *onImage* gets each image with `{ order, realm, requestId }` and may return a promise, *onFailure* each `Refused` with its order, *announce* what a screen
// reader says. *readLimits* resolves to the limits as they are now; *onRepeat* places an order again.
export function createResults(container, { onImage, onFailure, announce, readLimits, onRepeat }) {
  const cards = new Set();
  onLanguage(() => cards.forEach((card) => card.draw()));

  return {
    // Places *order*, whose images are of *realm*; resolves when it has ended and its images are kept.
    async run(order, realm) {
      for (const old of cards) if (old.isSettled()) old.remove();
      const card = createOrderCard(order, { onRepeat, onGone: () => cards.delete(card) });
      cards.add(card);
      container.append(card.element);
      card.element.scrollIntoView({ block: "nearest" });
      announce(say("said.began"));
      const [made, kept] = [[], []];
      let requestId = "";
      const end = (state, more = {}) => card.end({ state, made, realm, ...more });
      try {
        await place(order, {
          signal: card.signal,
          onStart: (started) => ({ requestId } = started),
          onPartial: ({ index, blob }) => card.showPartial(index, blob),
          onImage: (image) => {
            made.push(image);
            card.take(image.index);
            kept.push(onImage(image, { order, realm, requestId }));
            if (order.n > 1) announce(say("said.image", made.length, order.n));
          },
        });
        end("done");
        announce(card.summary());
      } catch (error) {
        if (card.signal.aborted) {
          end("cancelled");
          announce(card.summary());
        } else {
          end("failed", { error, limits: error.status === 429 ? await readLimits() : [] });
          onFailure(error, order);
        }
      }
      await Promise.all(kept);
    },
  };
}
