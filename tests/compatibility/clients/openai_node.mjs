// The official Node SDK, 4.x and newer, as applications use it.
import { createReadStream, promises as fs } from 'node:fs';
import { require, savePicture, serve, shorten } from './protocol.mjs';

const OpenAI = require('openai');
const { VERSION: version } = require('openai/version');

const FLARE = 'gpt-image-2.6-flare';
const openClient = (task, maxRetries = 0) =>
  new OpenAI({ baseURL: task.base_url, apiKey: task.key, maxRetries });

const openAzure = (task, options) =>
  new OpenAI.AzureOpenAI({ endpoint: rootOf(task), apiVersion: '2025-04-01-preview', maxRetries: 0, ...options });
const rootOf = (task) => task.base_url.replace('/v1', '');
const azure = (ask, options = (task) => ({ apiKey: task.key })) => (task) =>
  watch(task, (client) => ask(client, task), openAzure(task, options(task)));

const generate = (parameters) => (task) =>
  watch(task, (client) => client.images.generate({ prompt: task.prompt, ...parameters }));
const stream = (parameters) => (task) =>
  watch(task, async (client) =>
    observeEvents(task, await client.images.generate({ prompt: task.prompt, stream: true, ...parameters })));
// The caller's own order of keys is the order of the parts: here files come before the text.
const edit = (choose) => (task) =>
  watch(task, async (client) => client.images.edit({ ...(await choose()), prompt: task.prompt }));
const retrieve = (name) => (task) =>
  watch(task, async (client) => ({ model: await client.models.retrieve(name) }));
const fromBytes = async (name, type) => OpenAI.toFile(await fs.readFile(name), name, { type });

const operations = {
  'generate dall-e-3': generate({ model: 'dall-e-3', n: 1 }),
  'generate dall-e-3 n=4': generate({ model: 'dall-e-3', n: 4 }),
  'generate dall-e-3 b64_json': generate({ model: 'dall-e-3', response_format: 'b64_json' }),
  'generate dall-e-3 hd natural': generate({
    model: 'dall-e-3', quality: 'hd', style: 'natural', size: '1792x1024',
  }),
  'generate dall-e-2': generate({ model: 'dall-e-2', size: '256x256', n: 2 }),
  'generate gpt-image': generate({
    model: 'gpt-image-1.5', background: 'transparent', output_format: 'webp', output_compression: 80,
  }),
  'generate default': generate({}),
  'generate nulls': generate({ model: 'dall-e-3', n: null, quality: null, size: null, style: null }),
  'stream gpt-image': stream({ model: FLARE, partial_images: 2 }),
  'stream dall-e-3': stream({ model: 'dall-e-3', n: 2 }),
  'stream refused': stream({ model: FLARE, partial_images: 2 }),
  'stream broken': stream({ model: FLARE, partial_images: 2 }),
  'stream edit': (task) =>
    watch(task, async (client) =>
      observeEvents(task, await client.images.edit({
        image: createReadStream('square.png'), prompt: task.prompt, model: FLARE, stream: true,
        partial_images: 1,
      }))),
  // A stream has no known length: the body is chunked and its part an octet-stream.
  'edit one file': edit(() => ({ image: createReadStream('square.png'), model: FLARE })),
  'edit list of one': edit(() => ({ image: [createReadStream('square.png')], model: FLARE })),
  'edit three files': edit(async () => ({
    image: [
      await fromBytes('square.png', 'image/png'), createReadStream('photo.jpg'),
      await fromBytes('wide.png', 'image/png'),
    ],
    model: FLARE,
  })),
  'edit mask': edit(() => ({
    image: createReadStream('square.png'), mask: createReadStream('mask.png'), model: FLARE,
  })),
  'edit bytes': edit(async () => ({ image: await fromBytes('square.png', 'image/png'), model: FLARE })),
  'edit dall-e-2': edit(() => ({
    image: createReadStream('square.png'), mask: createReadStream('mask.png'), model: 'dall-e-2',
    size: '256x256', response_format: 'b64_json',
  })),
  'edit whole': edit(() => ({
    image: createReadStream('square.png'), model: 'dall-e-2', size: '256x256', response_format: 'b64_json',
  })),
  'edit broken file': edit(() => ({ image: createReadStream('broken.png'), model: 'dall-e-2' })),
  vary: (task) =>
    watch(task, (client) =>
      client.images.createVariation({ image: createReadStream('square.png'), n: 2, size: '256x256' })),
  'list models': (task) =>
    watch(task, async (client) => {
      const models = [];
      for await (const model of client.models.list()) models.push(model);
      return { models };
    }),
  'retrieve model': retrieve('dall-e-3'),
  'retrieve unknown model': retrieve('no-such-model'),
  'retrieve model with slash': retrieve('acme/no such model'),
  'bad size': generate({ model: 'dall-e-3', size: '123x456' }),
  'unknown parameter': generate({ model: 'dall-e-3', colour: 'red' }),
  'long prompt': generate({ model: 'dall-e-3', prompt: 'a'.repeat(32001) }),
  refused: generate({ model: 'dall-e-3' }),
  'refused by gpt-image': generate({ model: FLARE }),
  // Order until refused; the gateway asked allows one image a minute.
  limit: (task) =>
    watch(task, async (client) => {
      for (let number = 0; number < 3; number += 1) {
        await client.images.generate({ model: 'dall-e-2', prompt: `${task.prompt} ${number}`, size: '256x256' });
      }
    }),
  // Repeat one order until the SDK had to wait; the gateway asked allows one request in two seconds.
  'outlast limit': (task) =>
    watch(task, async (client) => {
      let longest_s = 0;
      for (let number = 0; number < 40 && longest_s <= 0.4; number += 1) {
        const started_ms = performance.now();
        await client.images.generate({ model: 'dall-e-2', prompt: task.prompt, size: '256x256' });
        if (number) longest_s = Math.max(longest_s, (performance.now() - started_ms) / 1000);
      }
      return { longest_s };
    }, openClient(task, 2)),
  'wrong endpoint': (task) =>
    watch(task, (client) =>
      client.chat.completions.create({ model: 'gpt-4o', messages: [{ role: 'user', content: task.prompt }] })),
  retries: (task) => watch(task, (client) => client.images.generate({ prompt: task.prompt }), openClient(task, 2)),
  'azure generate': azure((client, task) => client.images.generate({ model: 'dall-e-3', prompt: task.prompt })),
  'azure stream': azure(async (client, task) =>
    observeEvents(task, await client.images.generate({
      model: FLARE, prompt: task.prompt, stream: true, partial_images: 1,
    }))),
  'azure edit': azure((client, task) =>
    client.images.edit({ model: FLARE, image: createReadStream('square.png'), prompt: task.prompt })),
  'azure deployment': azure(
    (client, task) => client.images.generate({ model: 'gpt-image-2', prompt: task.prompt }),
    (task) => ({ apiKey: task.key, deployment: 'dall-e-3' }),
  ),
  'azure token': azure(
    (client, task) => client.images.generate({ model: 'dall-e-3', prompt: task.prompt }),
    (task) => ({ azureADTokenProvider: async () => task.key }),
  ),
  'azure models': azure(async (client) => {
    const models = [];
    for await (const model of client.models.list()) models.push(model);
    return { models };
  }),
  'azure unknown deployment': azure((client, task) =>
    client.images.generate({ model: 'no-such-deployment', prompt: task.prompt })),
  // Azure's current API needs no client of its own.
  'azure v1': (task) =>
    watch(task, (client) => client.images.generate({ model: 'dall-e-3', prompt: task.prompt }),
      new OpenAI({
        baseURL: `${rootOf(task)}/openai/v1/`, apiKey: task.key, defaultQuery: { 'api-version': 'preview' },
        maxRetries: 0,
      })),
};

async function watch(task, ask, client = openClient(task)) {
  try {
    const answer = await ask(client);
    return Array.isArray(answer.data) ? await observeImages(task, answer) : answer;
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return {
      error: {
        class: error.constructor.name,
        message: error.message,
        code: error.code ?? null,
        param: error.param ?? null,
        type: error.type ?? null,
        status: error.status ?? null,
        request_id: error.requestID ?? error.request_id ?? null,
        headers: Object.fromEntries(error.headers?.entries?.() ?? Object.entries(error.headers ?? {})),
      },
    };
  }
}

async function observeImages(task, answer) {
  const pictures = [];
  for (const entry of answer.data) pictures.push(await savePicture(task, entry));
  return { answer: shorten(answer), pictures, request_id: answer._request_id };
}

async function observeEvents(task, received) {
  const events = [];
  const pictures = [];
  for await (const event of received) {
    events.push(shorten(event));
    pictures.push(await savePicture(task, event));
  }
  return { events, pictures };
}

await serve({ name: 'npm `openai`', version }, operations);
