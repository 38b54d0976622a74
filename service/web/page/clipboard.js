// Copies to the clipboard. Browsers have the modern way only on https and localhost.

// Copies a text; returns false if the browser does not allow it.
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

// Tells if images can be copied here at all.
export function copiesImages() {
  return Boolean(navigator.clipboard?.write && window.ClipboardItem);
}

// Copies an image as PNG, the one format that every program can paste; returns false if the browser does not allow it.
export async function copyImage(blob) {
  try {
    // A promise, since Safari forgets the click during a conversion.
    await navigator.clipboard.write([new ClipboardItem({ "image/png": toPng(blob) })]);
    return true;
  } catch {
    return false;
  }
}

async function toPng(blob) {
  if (blob.type === "image/png") return blob;
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  try {
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

function copySelected(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  // All but the uppermost dialog is inert.
  const focused = document.activeElement;
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return isCopied;
}
