// Adds up rows of `GET /admin/usage`. Test images are counted and never money; images of unknown outcome stay apart, as they may
// not have been billed.

// A sum: *microusd* of *images* that were made, *unpriced* of which have no known price; of *unknown* images, *unknownMicrousd* may
// be billed; *test* images come from the sandbox.
const NOTHING = { microusd: 0, images: 0, unpriced: 0, unknown: 0, unknownMicrousd: 0, test: 0 };

export function addUp(rows) {
  const sum = { ...NOTHING };
  for (const row of rows) {
    if (row.realm === "sandbox") sum.test += row.images;
    else if (row.outcome === "unknown") {
      sum.unknown += row.images;
      sum.unknownMicrousd += row.microusd;
    } else {
      sum.images += row.images;
      sum.microusd += row.microusd;
      sum.unpriced += row.unpriced;
    }
  }
  return sum;
}

// Returns [{ name, ...sum }], one for each value of *column* in *rows*, in their order.
export function addUpBy(rows, column) {
  return [...Map.groupBy(rows, (row) => row[column])].map(([name, group]) => ({ name, ...addUp(group) }));
}

// Puts the largest spend first, then the most images.
export function largestFirst(sums) {
  return sums.sort((a, b) => b.microusd - a.microusd || b.images - a.images || b.test - a.test || b.unknown - a.unknown);
}
