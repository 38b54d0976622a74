// Deletes an image for real, or only its copy in this browser if the gateway refuses.

import { ask, Refused } from "../../page/api.js";
import { askFirst } from "../../page/dialog.js";
import { say, sayIfKnown } from "../../page/words.js";
import { notify } from "./notice.js";

// Asks, deletes, and calls `removed(record)` once the image is gone from the gateway, or is to be forgotten here.
export async function removeImage(record, removed) {
  if (!record.name) return removeHere(record, removed, say("hasNoLink"));
  if (!(await askFirst({ title: say("deleteTitle"), text: say("deleteText"), yes: say("delete") }))) return;
  try {
    await ask(`/v1/images/files/${encodeURIComponent(record.name)}`, { method: "DELETE" });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    await removeHere(record, removed, error.status === 0 ? say("noAnswer") : sayIfKnown(`notDeleted.${error.status}`) ?? error.message);
    return;
  }
  // A browser keeps an image that it has shown for a year: the answer that it is gone takes its place.
  const link = new URL(record.url, location.href);
  if (link.origin === location.origin) await fetch(link, { cache: "reload" }).catch(() => {});
  await removed(record);
  notify(say("deleted"));
}

async function removeHere(record, removed, reason) {
  if (!(await askFirst({ title: say("notDeletedTitle"), text: `${reason} ${say("removeHereText")}`, yes: say("removeHere") }))) return;
  await removed(record);
  notify(say("removedHere"));
}
