// Loads the part for images to edit when a person first wants it: most orders need none, and it is a third of the page.
//
// Files may be dropped, and images pasted, anywhere on the page: they open it, too.

// Fills *container* once it is needed. Returns what `createInputs` of inputs.js returns; before it is loaded there are no images.
export function createInputs(container, { onChange }) {
  let inputs = null;
  let work = Promise.resolve();

  // Does *act* with the loaded part, after all that was asked before.
  function withInputs(act = () => {}) {
    work = work.then(async () => {
      inputs ??= (await import("./inputs.js")).createInputs(container, { onChange });
      await act(inputs);
    });
    return work;
  }

  listenToPage({ onFiles: (files) => withInputs(() => inputs.add(...files)), onDrag: () => inputs ?? withInputs() });

  return {
    add: (...blobs) => withInputs(() => inputs.add(...blobs)),
    clear: () => (inputs ? withInputs(() => inputs.clear()) : work),
    setRules: (...rules) => withInputs(() => inputs.setRules(...rules)),
    ready: () => work.then(() => inputs?.ready()),
    images: () => inputs?.images() ?? [],
    problem: () => inputs?.problem() ?? null,
    mask: async () => (await work, inputs?.mask() ?? null),
    show(isShown) {
      container.hidden = !isShown;
      if (isShown) withInputs();
    },
  };
}

// Files may be dropped anywhere: a browser would leave the page to show them.
function listenToPage({ onFiles, onDrag }) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (isOver) => document.body.classList.toggle("is-dropping", isOver);
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(true);
    onDrag();
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && mark(false));
  document.addEventListener("drop", (event) => {
    mark(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files.length > 0) onFiles(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    const images = [...(event.clipboardData?.files ?? [])].filter((each) => each.type.startsWith("image/"));
    // Offices copy their text as an image, too.
    const isText = event.target.matches?.("input, textarea") && event.clipboardData.types.includes("text/plain");
    if (images.length === 0 || isText || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    onFiles(images);
  });
}
