// The card of one order: its images while they are painted, the time, a way to cancel, and how it ended.

import { make } from "../page/dom.js";
import { money, number } from "../page/format.js";
import { say } from "../page/words.js";
import { describeFailure } from "./failures.js";
import { imagesLeft, tooTight } from "./limits.js";

const TICK_MS = 1000;

// *onRepeat* places the order again, *onGone* is called when the card is removed.
export function createOrderCard(order, { onRepeat, onGone }) {
  const controller = new AbortController();
  const beganAt = performance.now();
  const partials = new Map();
  const taken = new Set();
  let end = null;
  let durationS = 0;

  const head = make("div");
  const slots = make("div", { class: "slots" });
  const foot = make("div", { class: "run-foot" });
  const element = make("article", { class: "card run" }, head, slots, foot);
  const timer = setInterval(drawTime, TICK_MS);

  function draw() {
    head.replaceChildren(
      make("h3", {}, order.operation === "vary" ? say("mode.vary") : order.prompt),
      make("p", { class: "hint" }, say("ofModel", order.model, order.n)));
    drawSlots();
    const hadKeyboard = foot.contains(document.activeElement);
    foot.replaceChildren(...(end ? ending() : running()).filter(Boolean));
    if (hadKeyboard) foot.querySelector("button").focus();
  }

  function drawSlots() {
    const waiting = Array.from({ length: end ? 0 : order.n }, (_, index) => index).filter((index) => !taken.has(index));
    slots.replaceChildren(...waiting.map(slot));
  }

  function slot(index) {
    const url = partials.get(index);
    const label = say(url ? "slot.partial" : "slot.waiting", index + 1, order.n);
    const [width, height] = (order.parameters.size ?? "").split("x").map(Number);
    const box = make("div", { class: "slot", role: "img", "aria-label": label }, url && make("img", { src: url, alt: "" }));
    box.style.aspectRatio = height ? `${width} / ${height}` : "1";
    return box;
  }

  function running() {
    return [
      make("span", { role: "timer", class: "elapsed" }, say("elapsed", number(seconds()))),
      make("button", { type: "button", onclick: () => controller.abort() }, say("cancel")),
    ];
  }

  function ending() {
    const close = make("button", { type: "button", class: "quiet", "aria-label": say("close"), onclick: remove }, "×");
    return end.state === "failed" ? [...failing(), close] : [make("p", {}, summary()), close];
  }

  function failing() {
    const { title, advice, when, detail, canRepeat } = describeFailure(end.error);
    const tight = tooTight(end.limits, end.realm, order.n);
    const fewer = imagesLeft(end.limits, order.n);
    return [
      make("div", { role: "alert" },
        make("p", { class: "bad" }, title),
        tight.length > 0 && make("ul", {}, tight),
        (fewer || advice || when) && make("p", {}, [fewer && say("orderFewer", fewer), advice, when].filter(Boolean).join(" ")),
        end.made.length > 0 && make("p", {}, say("someMade", end.made.length, order.n)),
        detail && make("p", { class: "hint" }, say("ownWords"), " ", make("span", { lang: "en" }, detail)),
        end.error.requestId && make("p", { class: "hint" }, say("requestId"), " ", make("code", {}, end.error.requestId))),
      canRepeat && make("button", { type: "button", onclick: repeat }, say("tryAgain")),
    ];
  }

  function summary() {
    const { state, made } = end;
    return state === "cancelled" ? say("cancelled", made.length, order.n) : say("done", order.n, number(durationS), costOf(end));
  }

  function seconds() {
    return Math.floor((performance.now() - beganAt) / 1000);
  }

  function drawTime() {
    foot.querySelector(".elapsed").textContent = say("elapsed", number(seconds()));
  }

  function repeat() {
    remove();
    onRepeat(order);
  }

  function remove() {
    element.remove();
    onGone();
  }

  function forget(index) {
    URL.revokeObjectURL(partials.get(index));
    partials.delete(index);
  }

  draw();
  return {
    element,
    draw,
    remove,
    summary,
    signal: controller.signal,
    // A failure stays until the person closes it or tries again: it has the number for a report.
    isSettled: () => end !== null && end.state !== "failed",
    showPartial(index, blob) {
      forget(index);
      partials.set(index, URL.createObjectURL(blob));
      drawSlots();
    },
    // Removes the place of an image that is finished.
    take(index) {
      forget(index);
      taken.add(index);
      drawSlots();
    },
    // Ends the card: `{ state, made, realm }`, and `error` and `limits` of an order that failed.
    end(how) {
      clearInterval(timer);
      durationS = Math.max(1, Math.round((performance.now() - beganAt) / 1000));
      end = how;
      [...partials.keys()].forEach(forget);
      draw();
    },
  };
}

// Returns what the images cost this person's team, in words.
function costOf({ made, realm }) {
  const free = made.filter(({ cache }) => cache === "hit" || cache === "coalesced").length;
  const isFree = free === made.length;
  if (realm === "sandbox") return say(isFree ? "cost.testCached" : "cost.test");
  if (isFree) return say("cost.cached");
  if (made.some(({ costMicrousd }) => costMicrousd === null)) return say("cost.unknown");
  return money(made.reduce((sum, { costMicrousd }) => sum + costMicrousd, 0));
}
