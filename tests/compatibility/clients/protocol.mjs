// How a client script is spoken to, as protocol.py: tasks on stdin, what it observed on stdout, one JSON object a line.
// Files to upload lie in the working directory; images that arrive are saved in the task's `outputs`.
import { promises as fs } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { randomUUID } from 'node:crypto';

// Packages are in a node_modules elsewhere, which an import statement would not find.
export const require = createRequire(join(process.argv[2], 'package.json'));

export const versionOf = async (name) =>
  JSON.parse(await fs.readFile(join(process.argv[2], 'node_modules', name, 'package.json'), 'utf8')).version;

// Say who this is, then do what is asked until stdin ends.
export async function serve(about, operations) {
  tell({ ...about, on: `Node.js ${process.versions.node}` });
  for await (const line of createInterface({ input: process.stdin })) {
    const task = JSON.parse(line);
    try {
      tell(await operations[task.operation](task));
    } catch (error) {
      tell({ crash: String(error.stack ?? error) });
    }
  }
}

// Save what an entry of `data` carries, fetching its link as an application would.
export async function savePicture(task, entry) {
  if (!entry.url) {
    return { came_as: 'b64_json', path: await saveBytes(task, Buffer.from(entry.b64_json, 'base64')) };
  }
  const answer = await fetch(entry.url);
  if (!answer.ok) throw new Error(`${answer.status} for ${entry.url}`);
  return { came_as: 'url', path: await saveBytes(task, Buffer.from(await answer.arrayBuffer())) };
}

export async function saveBytes(task, bytes) {
  const path = join(task.outputs, randomUUID());
  await fs.writeFile(path, bytes);
  return path;
}

export const shorten = (value) =>
  JSON.parse(JSON.stringify(value, (name, item) =>
    name === 'b64_json' && typeof item === 'string' ? `${item.length} characters` : item));

const tell = (observation) => process.stdout.write(`${JSON.stringify(observation)}\n`);
