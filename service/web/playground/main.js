// The playground: joins the parts of the page.

import { read, Refused } from "../page/api.js";
import { byId, make } from "../page/dom.js";
import { showHeader } from "../page/header.js";
import { onKey } from "../page/key.js";
import { learn, onLanguage, say } from "../page/words.js";
import { createInputs } from "./edit/door.js";
import { createEstimate } from "./estimate.js";
import { describeFailure, describeField } from "./failures.js";
import { createForm } from "./form.js";
import { createGallery } from "./keep/gallery.js";
import { openHistory } from "./keep/history.js";
import { leftCard } from "./leftcard.js";
import { loadModels, previewsOf } from "./models.js";
import { createResults } from "./results.js";
import { openUnderway } from "./underway.js";
import { words } from "./words.en-zh.js";

learn(words);
showHeader("/");

const ONE_COLUMN = matchMedia("(max-width: 54rem)");

// What keeps the page from working at all, or null.
let trouble = null;

const history = openHistory();
const underway = openUnderway();
const gallery = createGallery(byId("gallery"), history, {
  edit: (record) => form.begin("edit", record.blob, record.order.model),
  vary: (record) => form.begin("vary", record.blob, record.order.model),
  again,
});
const inputs = createInputs(byId("inputs"), { onChange: (change) => form.takeInputs(change) });
const form = createForm({ inputs, onChange: () => estimate.ask(form.order()), onOrder: start, onFailure: setTrouble, onRetry: open });
const estimate = createEstimate(byId("estimate"), { onAnswer: showAnswer });
const results = createResults(byId("results"), {
  onImage: (made, { order, realm, requestId }) => history.add({ order, inputs: order.images, mask: order.mask, ...made, realm, requestId }),
  onFailure: showFailure,
  onRepeat: start,
  announce: (text) => byId("said").replaceChildren(text),
  readLimits: () => read("/v1/usage").then(({ limits }) => limits, () => []),
});

onKey(open);
onLanguage(drawTrouble);
addEventListener("offline", () => setTrouble(new Refused({ code: "offline" })));
addEventListener("online", open);
await open();
// Its card is taken to the person's eyes, so the form has its height by now.
await showLeft();

// Learns what this person may use.
async function open() {
  try {
    const models = await loadModels();
    setTrouble(null);
    await form.setModels(models);
  } catch (error) {
    setTrouble(error);
  }
}

// Makes a fresh image by the order of a record, and shows its stages if the form does.
async function again({ order, inputs: images, mask }) {
  await start({ ...order, images, mask, n: 1, fresh: true, previews: form.order()?.previews && (await previewsOf(order.model)) });
}

// Shows the orders that a page was closed over. The images of fresh ones are found by their age: older ones are not theirs.
async function showLeft() {
  for (const left of await underway.left()) {
    const forget = () => underway.forget(left.id);
    const fetch = () => {
      forget();
      start({ ...left.order, fresh: false, since: left.order.fresh ? left.at : null });
    };
    const card = leftCard(left, { onFetch: fetch, onForget: forget });
    byId("results").append(card);
    card.scrollIntoView({ block: "nearest" });
    byId("said").replaceChildren(say("leftOver"));
  }
}

async function start(order) {
  const ended = underway.begin(order);
  const realm = await estimate.realm(order);
  await results.run(order, realm);
  await ended();
  // On a phone the images are below the form.
  await gallery.refresh();
  if (ONE_COLUMN.matches) byId("gallery").querySelector(".image-card")?.scrollIntoView({ block: "nearest" });
  estimate.ask(form.order(), { pauseMs: 0 });
}

// Marks what would be refused, before it is sent; returns true if a field has it.
function showAnswer(error) {
  form.unmark();
  if (error?.code === "offline") setTrouble(error);
  return Boolean(error?.param) && form.mark(error.param, ...describeField(error));
}

function showFailure(error) {
  if (error.param && form.mark(error.param, ...describeField(error))) form.focusMarked();
}

// The head asks for a key by itself. What is no refusal is a mistake of this page, and is not hidden.
function setTrouble(error) {
  if (error && !(error instanceof Refused)) throw error;
  trouble = error?.status === 401 ? null : error;
  drawTrouble();
}

function drawTrouble() {
  byId("trouble").hidden = trouble === null;
  if (trouble === null) return;
  const { title, advice } = describeFailure(trouble);
  byId("trouble").replaceChildren(make("p", {}, title), advice && make("p", {}, advice));
}
