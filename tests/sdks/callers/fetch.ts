// A typed caller of openapi-typescript and openapi-fetch: it is compiled, not run.
import createClient from 'openapi-fetch';
import type { components, paths } from './openapi-typescript.js';

const address = { baseUrl: 'http://127.0.0.1:8080' };
// A client is for one type of answers: JSON, events or files.
const client = createClient<paths, 'application/json'>(address);
const streams = createClient<paths, 'text/event-stream'>(address);
const files = createClient<paths, 'image/png'>(address);

export async function generate(prompt: string): Promise<string[]> {
  const { data, error, response } = await client.POST('/v1/images/generations', {
    params: { header: { 'Idempotency-Key': 'an-order' } },
    body: { prompt, n: 4 },
  });
  if (error) throw new Error(`${response.status}: ${JSON.stringify(error)}`);
  return data.data.map((image) => image.url ?? '');
}

export async function edit(image: Blob, mask: Blob, prompt: string): Promise<components['schemas']['ImagesResponse']> {
  const form = new FormData();
  form.append('image', image);
  form.append('mask', mask);
  form.append('prompt', prompt);
  const { data, error } = await client.POST('/v1/images/edits', {
    body: { image: [], prompt },
    bodySerializer: () => form,
  });
  if (error) throw new Error(JSON.stringify(error));
  return data;
}

export async function* streamed(prompt: string): AsyncGenerator<components['schemas']['ImageGenStreamEvent']> {
  const { response } = await streams.POST('/v1/images/generations/stream', { body: { prompt }, parseAs: 'stream' });
  for (const line of (await response.text()).split('\n')) {
    if (line.startsWith('data:')) yield JSON.parse(line.slice('data:'.length));
  }
}

export async function models(): Promise<string[]> {
  const { data, error } = await client.GET('/v1/models');
  if (error) throw new Error(JSON.stringify(error));
  return data.data.map((model) => model.id);
}

export async function download(name: string, t: string, exp: number, sig: string): Promise<Blob> {
  const { data } = await files.GET('/v1/images/files/{name}', {
    params: { path: { name }, query: { t, exp, sig } },
    parseAs: 'blob',
  });
  if (!data) throw new Error('no file');
  return data;
}

export async function budget(name: string): Promise<number> {
  const body = { budget_per_month_microusd: 25_000_000_000 };
  const { data, error } = await client.PUT('/admin/policies/{name}', { params: { path: { name } }, body });
  if (error) throw new Error(JSON.stringify(error));
  return data.budget_per_month_microusd;
}

export async function isReady(): Promise<boolean> {
  const { data } = await client.GET('/readyz');
  return data?.status === 'ready';
}
