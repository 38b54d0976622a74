// Writes orders as code, as the page does. Reads `{ orders, base, needsKey }` from standard input, with the types of input files
// in place of their bytes, and prints `{ texts, files }` for each order: texts by language, files as `[field, name]`.
import { text } from 'node:stream/consumers';
import { inputFiles } from '../../service/web/playground/take/call.js';
import { snippets } from '../../service/web/playground/take/snippets.js';

const { orders, base, needsKey } = JSON.parse(await text(process.stdin));
const fileOf = (type) => new Blob([], { type });

const written = orders.map(({ images, mask, ...rest }) => {
  const order = { ...rest, images: images.map(fileOf), mask: mask && fileOf(mask) };
  return {
    texts: snippets(order, { base, needsKey }),
    files: inputFiles(order).map(({ field, name }) => [field, name]),
  };
});
console.log(JSON.stringify(written));
