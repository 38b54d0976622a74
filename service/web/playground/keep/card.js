// The card of an image: its words, and what can be done with it.

import { copiesImages, copyImage, copyText } from "../../page/clipboard.js";
import { make } from "../../page/dom.js";
import { fromNow, moment } from "../../page/format.js";
import { say } from "../../page/words.js";
import { costWords, fileName, linkEnd, modelWords, parameterWords, titleOf } from "./describe.js";
import { notify } from "./notice.js";
import { removeImage } from "./remove.js";
import { showBlob } from "./shown.js";
import { openViewer } from "./viewer.js";

// Returns the card of a record. *actions* are functions of the record: `edit`, `vary` and `again`, each of which may be missing;
// `removed`, called after a deletion; `neighbours`, `{ newer(record), older(record) }` for the viewer, which may be missing.
export function imageCard(record, actions) {
  const title = titleOf(record);
  const image = make("img", { alt: title, width: record.width, height: record.height, loading: "lazy", decoding: "async" });
  showBlob(image, record.blob);
  return make("article", { class: "image-card", "aria-label": title, dataset: { id: record.id } },
    make("button", { type: "button", class: "shown", title: say("enlarge"), onclick: () => openViewer(record, actions.neighbours) }, image),
    record.order.prompt ? make("p", { class: "prompt" }, record.order.prompt) : make("p", { class: "prompt hint" }, title),
    make("p", { class: "hint" }, [modelWords(record), ...parameterWords(record).map(([name, value]) => `${name} ${value}`)].filter(Boolean).join(" · ")),
    make("p", { class: "hint" },
      make("span", { class: record.realm === "sandbox" ? "test" : "cost" }, costWords(record)), " · ",
      make("time", { datetime: new Date(record.at).toISOString() }, moment(record.at))),
    make("div", { class: "row" },
      make("button", { type: "button", onclick: () => download(record) }, say("download")),
      actions.edit && make("button", { type: "button", onclick: () => actions.edit(record) }, say("editThis")),
      more(record, actions, title)));
}

// The other actions, built when they are asked for: hundreds of cards stay light.
function more(record, actions, title) {
  const list = make("div", { class: "more-list" });
  const menu = make("details", { class: "more" }, make("summary", { "aria-label": `${say("more")}: ${title}` }, say("more")), list);
  const shut = ({ target }) => menu.contains(target) || (menu.open = false);
  menu.addEventListener("toggle", () => {
    if (!menu.open) return document.removeEventListener("pointerdown", shut);
    document.addEventListener("pointerdown", shut);
    list.replaceChildren(...entries(record, actions).map(([word, act]) =>
      make("button", { type: "button", class: word === "delete" && "danger", onclick: () => run(menu, act) }, say(word))));
    list.scrollIntoView({ block: "nearest" });
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.preventDefault();
    run(menu, () => {});
  });
  return menu;
}

function run(menu, act) {
  menu.open = false;
  menu.firstElementChild.focus();
  act();
}

function entries(record, actions) {
  return [
    actions.vary && ["vary", () => actions.vary(record)],
    actions.again && ["again", () => actions.again(record)],
    ["code", () => showCode(record)],
    record.order.prompt && ["copyPrompt", async () => notify(say((await copyText(record.order.prompt)) ? "promptCopied" : "notCopied"))],
    record.url && ["copyLink", () => copyLink(record.url)],
    ["copyImage", () => copyTheImage(record.blob)],
    ["delete", () => removeImage(record, actions.removed)],
  ].filter(Boolean);
}

// Loads what few visits need.
async function showCode({ order, inputs, mask }) {
  try {
    const dialog = await import("../take/dialog.js");
    dialog.showCode({ ...order, images: inputs, mask });
  } catch {
    notify(say("noAnswer"));
  }
}

function download(record) {
  const link = make("a", { href: URL.createObjectURL(record.blob), download: fileName(record) });
  link.click();
  // A browser may ask where to put the file before it reads it.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function copyLink(url) {
  const end = linkEnd(url);
  if (end !== null && end < Date.now()) return notify(say("linkIsOver", moment(end)));
  if (!(await copyText(new URL(url, location.href).href))) return notify(say("notCopied"));
  if (end === null) return notify(say("linkCopied"));
  notify(end === Infinity ? say("linkCopiedForGood") : say("linkCopiedUntil", moment(end), fromNow((end - Date.now()) / 1000)));
}

async function copyTheImage(blob) {
  if (!copiesImages()) return notify(say("imagesNeedHttps"));
  notify(say((await copyImage(blob)) ? "imageCopied" : "imageNotCopied"));
}
