// Vercel's AI SDK, by OpenAI's API and by Azure's. It asks n times for one image of a model that makes one a call.
import { readFileSync } from 'node:fs';
import { require, saveBytes, serve, versionOf } from './protocol.mjs';

const { APICallError, generateImage } = require('ai');
const { createAzure } = require('@ai-sdk/azure');
const { createOpenAI } = require('@ai-sdk/openai');

const openai = (task) => createOpenAI({ baseURL: task.base_url, apiKey: task.key });
const azure = (options) => (task) =>
  createAzure({ baseURL: task.base_url.replace('/v1', '/openai'), apiKey: task.key, ...options });
const byDeployment = azure({ useDeploymentBasedUrls: true, apiVersion: '2025-04-01-preview' });

const generate = (open, model, parameters = {}) => (task) =>
  watch(task, { model: open(task).image(model), prompt: task.prompt, ...parameters });
const edit = (open, model, parameters = {}) => (task) =>
  watch(task, {
    model: open(task).image(model),
    prompt: { text: task.prompt, images: [readFileSync('square.png')], mask: readFileSync('mask.png') },
    ...parameters,
  });

async function watch(task, order) {
  try {
    const { images, warnings } = await generateImage({ maxRetries: 0, ...order });
    const pictures = [];
    for (const image of images) {
      pictures.push({ came_as: 'b64_json', path: await saveBytes(task, image.uint8Array) });
    }
    return { pictures, warnings };
  } catch (error) {
    if (!APICallError.isInstance(error)) throw error;
    return { error: { class: error.name, message: error.message, status: error.statusCode } };
  }
}

await serve(
  { name: 'Vercel AI SDK (npm `ai`)', version: await versionOf('ai') },
  {
    one: generate(openai, 'dall-e-3'),
    'gpt-image': generate(openai, 'gpt-image-2', {
      n: 2, size: '1024x1024', providerOptions: { openai: { quality: 'low', moderation: 'low' } },
    }),
    three: generate(openai, 'dall-e-3', { n: 3 }),
    edit: edit(openai, 'gpt-image-2'),
    'edit moderated': edit(openai, 'gpt-image-2', { providerOptions: { openai: { moderation: 'low' } } }),
    refused: generate(openai, 'dall-e-3'),
    'azure generate': generate(byDeployment, 'dall-e-3'),
    'azure edit': edit(byDeployment, 'gpt-image-2'),
    'azure v1': generate(azure(), 'dall-e-3'),
  },
);
