// Writes an order as code that makes the same call: curl, Python, Node and Java. Pure, so that tests run the code without a browser.
//
// The key is read from the variable GATEWAY_KEY and is never a part of the code. Answers are links.

import { callOf, flat } from "./call.js";
import { toJava } from "./java.js";
import { python, quoted, shell } from "./quote.js";

// Parameters that the SDK of Python takes as arguments, since its first version with images; it refuses others, unless
// they are in `extra_body`.
const ARGUMENTS = {
  generate: ["model", "prompt", "n", "background", "moderation", "output_compression", "output_format", "quality", "response_format", "size", "style", "user"],
  edit: ["model", "prompt", "n", "background", "input_fidelity", "output_compression", "output_format", "quality", "response_format", "size", "user"],
  vary: ["model", "n", "response_format", "size", "user"],
};
const METHODS = { generate: "generate", edit: "edit", vary: "create_variation" };

// Returns `{ curl, python, node, java }`. *base* is the origin of the gateway; with *needsKey* the code sends a key.
export function snippets(order, { base, needsKey }) {
  const call = { ...callOf(order), base, needsKey };
  return { curl: toCurl(call), python: toPython(call), node: toNode(call), java: toJava(call) };
}

function toCurl({ base, path, fields, files, fresh, needsKey, operation }) {
  const options = [];
  if (needsKey) options.push('-H "Authorization: Bearer $GATEWAY_KEY"');
  if (fresh) options.push("-H 'Cache-Control: no-cache'");
  if (operation === "generate") {
    options.push("-H 'Content-Type: application/json'", `-d ${shell(JSON.stringify(fields, null, 2))}`);
  } else {
    const isList = files.filter(({ field }) => field === "image").length > 1;
    for (const { field, name } of files) options.push(`-F ${shell(`${field}${isList && field === "image" ? "[]" : ""}=@${name}`)}`);
    // With -F a value that begins with `@` would name a file.
    for (const [name, value] of flat(fields)) options.push(`--form-string ${shell(`${name}=${value}`)}`);
  }
  return `${[`curl ${shell(base + path)}`, ...options].join(" \\\n  ")}\n`;
}

function toPython({ base, fields, files, fresh, needsKey, operation }) {
  const known = Object.entries(fields).filter(([name]) => ARGUMENTS[operation].includes(name));
  const extra = Object.entries(fields).filter(([name]) => !ARGUMENTS[operation].includes(name));
  const lines = [
    ...byField(files, (name) => `Path(${quoted(name)})`).map(([name, value]) => `${name}=${value},`),
    ...known.map(([name, value]) => `${name}=${python(value)},`),
    ...(extra.length ? [`extra_body=${python(Object.fromEntries(extra))},`] : []),
    ...(fresh ? ['extra_headers={"Cache-Control": "no-cache"},'] : []),
  ];
  const imports = [needsKey && "import os", files.length > 0 && "from pathlib import Path"].filter(Boolean);
  return [
    "# pip install openai",
    ...imports,
    ...(imports.length ? [""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${quoted(`${base}/v1`)}, api_key=${needsKey ? 'os.environ["GATEWAY_KEY"]' : '"none"'})`,
    `answer = client.images.${METHODS[operation]}(`,
    ...lines.map((line) => `    ${line}`),
    ")",
    "for image in answer.data:",
    "    print(image.url)",
    "",
  ].join("\n");
}

function toNode({ base, fields, files, fresh, needsKey, operation }) {
  const property = (name) => (/^[a-z_]\w*$/i.test(name) ? name : quoted(name));
  const lines = [
    ...byField(files, (name) => `fs.createReadStream(${quoted(name)})`).map(([name, value]) => `${name}: ${value},`),
    ...Object.entries(fields).map(([name, value]) => `${property(name)}: ${typeof value === "string" ? quoted(value) : JSON.stringify(value)},`),
  ];
  const method = operation === "vary" ? "createVariation" : METHODS[operation];
  const options = fresh ? ', { headers: { "Cache-Control": "no-cache" } }' : "";
  return [
    "// npm install openai; save this as order.mjs",
    ...(files.length ? ['import fs from "node:fs";'] : []),
    'import OpenAI from "openai";',
    "",
    `const client = new OpenAI({ baseURL: ${quoted(`${base}/v1`)}, apiKey: ${needsKey ? "process.env.GATEWAY_KEY" : '"none"'} });`,
    `const answer = await client.images.${method}({`,
    ...lines.map((line) => `  ${line}`),
    `}${options});`,
    "for (const image of answer.data) console.log(image.url);",
    "",
  ].join("\n");
}

// Returns `[field, literal]`, with a list where a field has several files.
function byField(files, write) {
  return ["image", "mask"].flatMap((field) => {
    const written = files.filter((file) => file.field === field).map(({ name }) => write(name));
    if (written.length === 0) return [];
    return [[field, written.length > 1 ? `[${written.join(", ")}]` : written[0]]];
  });
}
