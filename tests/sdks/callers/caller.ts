// The generated TypeScript client does each operation and tells what it saw, a line of JSON for each.
import { openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import {
  adminCreateKey,
  adminListPolicies,
  adminPutPolicy,
  adminRevokeKey,
  createImage,
  createImageStream,
  createImageVariation,
  editImage,
  editImageStream,
  estimateImages,
  getImageFile,
  getModel,
  getUsage,
  listModels,
} from 'image-gateway-client';
import { client } from 'image-gateway-client/client';
import { RefusedStream } from 'image-gateway-client/streaming';

interface Task {
  url: string;
  key: string;
  limited_key: string;
  admin_key: string;
  team: string;
  prompt: string;
  image: string;
  mask: string;
}

const task = JSON.parse(process.argv[2] ?? '') as Task;
client.setConfig({ baseUrl: task.url, auth: task.key });
const admin = { auth: task.admin_key };

const picture = async (path: string): Promise<File> =>
  new File([await openAsBlob(path)], basename(path), { type: 'image/png' });

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, 8)).toString('hex');

function good<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

async function collect<E>(stream: AsyncIterable<E>): Promise<E[]> {
  const events: E[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function refusalOf<E>(answer: Promise<{ stream: AsyncIterable<E> }>): Promise<unknown> {
  try {
    return { events: await collect((await answer).stream) };
  } catch (error) {
    if (error instanceof RefusedStream) return { status: error.status, message: error.message };
    throw error;
  }
}

const operations: Record<string, () => Promise<unknown>> = {
  async generate() {
    const answer = good(await createImage({ body: { prompt: task.prompt, model: 'dall-e-3', n: 4 } }));
    return { urls: answer.data.map((image) => image.url) };
  },
  async edit() {
    const image = await picture(task.image);
    const mask = await picture(task.mask);
    const body = { image: [image, image], mask, prompt: task.prompt, model: 'gpt-image-2', n: 2 };
    const answer = good(await editImage({ body }));
    const files = answer.data.map((each) => Buffer.from(each.b64_json ?? '', 'base64'));
    return { heads: files.map(hexOf), tokens: answer.usage?.total_tokens };
  },
  async vary() {
    const body = { image: await picture(task.image), n: 2, size: '256x256', response_format: 'url' as const };
    const answer = good(await createImageVariation({ body }));
    return { urls: answer.data.map((image) => image.url) };
  },
  async stream() {
    const body = { prompt: task.prompt, model: 'gpt-image-2', partial_images: 1 };
    const events = await collect((await createImageStream({ body })).stream);
    const last = events.at(-1);
    if (last?.type !== 'image_generation.completed') throw new Error(JSON.stringify(last));
    return { types: events.map((event) => event.type), tokens: last.usage.total_tokens };
  },
  async 'stream edit'() {
    const body = { image: [await picture(task.image)], prompt: task.prompt, model: 'gpt-image-2', partial_images: 1 };
    const events = await collect((await editImageStream({ body })).stream);
    const last = events.at(-1);
    if (last?.type !== 'image_edit.completed') throw new Error(JSON.stringify(last));
    return { types: events.map((event) => event.type), tokens: last.usage.total_tokens };
  },
  async 'refused stream'() {
    const body = { prompt: task.prompt, model: 'gpt-image-2' };
    return {
      'wrong key': await refusalOf(createImageStream({ auth: 'ig_wrong', body })),
      'wrong size': await refusalOf(createImageStream({ body: { ...body, size: '1x1' } })),
    };
  },
  async 'unreachable stream'() {
    const { stream } = await createImageStream({ baseUrl: 'http://127.0.0.1:9', body: { prompt: task.prompt } });
    return { told: await collect(stream).then(JSON.stringify, String) };
  },
  async models() {
    const answer = good(await listModels());
    return { models: Object.fromEntries(answer.data.map((model) => [model.id, model.shutdown_date])) };
  },
  async details() {
    const { answered_by, sizes, parameters } = good(await getModel({ path: { model: 'dall-e-3' } }));
    return { answered_by, multiple: sizes?.free?.multiple, qualities: parameters?.['quality']?.values };
  },
  async estimate() {
    const body = { model: 'dall-e-3', prompt: task.prompt, n: 4 };
    const { microusd, limits, refused_by } = good(await estimateImages({ auth: task.limited_key, body }));
    return { microusd, limits: limits.map((limit) => limit.name), refused_by: refused_by?.param };
  },
  async usage() {
    const answer = good(await getUsage());
    return { team: answer.team, images: answer.totals.reduce((sum, total) => sum + total.images, 0) };
  },
  async limit() {
    const order = (take: number) =>
      createImage({ auth: task.limited_key, body: { prompt: `${task.prompt}, limited ${take}`, model: 'dall-e-3' } });
    good(await order(0));
    const { error, response } = await order(1);
    return {
      status: response?.status,
      code: error && 'error' in error ? error.error.code : undefined,
      retry_after: Number(response?.headers.get('retry-after')),
    };
  },
  async download() {
    const answer = good(await createImage({ body: { prompt: task.prompt, model: 'dall-e-3', n: 4 } }));
    const link = new URL(answer.data[0]?.url ?? '');
    const of = (name: string): string => link.searchParams.get(name) ?? '';
    const answered = await getImageFile({
      path: { name: basename(link.pathname) },
      query: { t: of('t'), exp: Number(of('exp')), sig: of('sig') },
    });
    const file = good(answered);
    return {
      head: hexOf(new Uint8Array(await file.arrayBuffer())),
      kind: answered.response?.headers.get('content-type'),
    };
  },
  async administer() {
    const created = good(await adminCreateKey({ ...admin, body: { team: task.team, user: 'made-by-typescript' } }));
    const path = { team: created.team, key_id: created.id };
    const revoked = good(await adminRevokeKey({ ...admin, path }));
    return { id: created.id, user: created.user, revoked: revoked.deleted };
  },
  async budget() {
    const name = 'made-by-typescript';
    const body = { budget_per_month_microusd: 25_000_000_000 };
    const put = good(await adminPutPolicy({ ...admin, path: { name }, body }));
    const listed = good(await adminListPolicies(admin)).data.find((policy) => policy.name === name);
    return { put: put.budget_per_month_microusd, listed: listed?.budget_per_month_microusd };
  },
};

for (const [operation, operate] of Object.entries(operations)) {
  try {
    console.log(JSON.stringify({ operation, observed: await operate() }));
  } catch (error) {
    console.log(JSON.stringify({ operation, crash: String(error) }));
  }
}
