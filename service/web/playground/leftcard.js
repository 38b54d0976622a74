// The card of an order that was under way when its page was closed.

import { make } from "../page/dom.js";
import { moment } from "../page/format.js";
import { onLanguage, say } from "../page/words.js";

// *onFetch* gets the images of the order, *onForget* leaves them.
export function leftCard({ at, order }, { onFetch, onForget }) {
  const element = make("article", { class: "card run left" });
  const leave = (act) => () => {
    element.remove();
    act();
  };
  const draw = () => element.replaceChildren(
    make("h3", {}, order.operation === "vary" ? say("mode.vary") : order.prompt),
    make("p", { class: "hint" }, `${say("ofModel", order.model, order.n)} · ${moment(at)}`),
    make("p", {}, say("leftOver")),
    make("div", { class: "run-foot" },
      make("button", { type: "button", class: "primary", onclick: leave(onFetch) }, say("fetchLeft")),
      make("button", { type: "button", onclick: leave(onForget) }, say("forgetLeft"))));
  onLanguage(draw);
  draw();
  return element;
}
