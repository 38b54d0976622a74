// Shows blobs in images only while they are near the screen, so that hundreds of them take the memory of a few.

const NOTHING = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";

const blobs = new WeakMap();

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) (isIntersecting ? load : unload)(target);
}, { rootMargin: "800px" });

// Shows *blob* in *image* whenever it is near the screen.
export function showBlob(image, blob) {
  blobs.set(image, blob);
  image.src = NOTHING;
  near.observe(image);
}

function load(image) {
  if (image.src === NOTHING) image.src = URL.createObjectURL(blobs.get(image));
}

// Also runs when an image leaves the page.
function unload(image) {
  URL.revokeObjectURL(image.src);
  image.src = NOTHING;
}
