// LangChain.js' tool for DALL·E. It asks n times for one image, and always sends `style` and `quality`.
import { require, savePicture, serve, versionOf } from './protocol.mjs';

const { DallEAPIWrapper } = require('@langchain/openai');
const OpenAI = require('openai');

const generate = (parameters = {}) => async (task) => {
  const tool = new DallEAPIWrapper({ baseUrl: task.base_url, apiKey: task.key, ...parameters });
  try {
    const found = await tool.invoke(task.prompt);
    const pictures = [];
    for (const each of Array.isArray(found) ? found : [found]) {
      pictures.push(await savePicture(task, entryOf(each)));
    }
    return { pictures };
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return { error: { class: error.constructor.name, message: error.message, status: error.status } };
  }
};

// One image is its link or its base64; of several, each is an object with either.
function entryOf(found) {
  if (typeof found === 'string') return found.startsWith('http') ? { url: found } : { b64_json: found };
  const place = found.image_url;
  return typeof place === 'string' ? { url: place } : { b64_json: place.url };
}

await serve(
  { name: 'LangChain.js (npm `@langchain/openai`)', version: await versionOf('@langchain/openai') },
  {
    one: generate(),
    base64: generate({ dallEResponseFormat: 'b64_json' }),
    three: generate({ n: 3 }),
    unusual: generate({ model: 'dall-e-2', size: '512x512' }),
    refused: generate(),
  },
);
