// Writes an order as a program of Java 17 that needs nothing but the JDK.

import { flat } from "./call.js";
import { escape } from "./quote.js";

export function toJava({ base, path, fields, files, fresh, needsKey, operation }) {
  const isForm = operation !== "generate";
  const body = isForm ? formBody(fields, files) : [`String body = ${block(JSON.stringify(fields, null, 2), "            ")};`];
  const request = [
    `HttpRequest request = HttpRequest.newBuilder(URI.create(${literal(base + path)}))`,
    ...(needsKey ? ['    .header("Authorization", "Bearer " + System.getenv("GATEWAY_KEY"))'] : []),
    ...(fresh ? ['    .header("Cache-Control", "no-cache")'] : []),
    `    .header("Content-Type", ${isForm ? '"multipart/form-data; boundary=" + BOUNDARY' : '"application/json"'})`,
    `    .POST(HttpRequest.BodyPublishers.${isForm ? "ofByteArray(FORM.toByteArray())" : "ofString(body)"})`,
    "    .build();",
    "HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());",
    "System.out.println(answer.body());",
  ];
  return [
    "// Java 17 or newer, without dependencies. Save this as Order.java, then: java Order.java",
    ...(isForm ? ["import java.io.ByteArrayOutputStream;", "import java.io.IOException;"] : []),
    "import java.net.URI;",
    "import java.net.http.HttpClient;",
    "import java.net.http.HttpRequest;",
    "import java.net.http.HttpResponse;",
    ...(isForm ? FORM_IMPORTS : []),
    "",
    "public class Order {",
    ...(isForm ? FORM_FIELDS : []),
    "    public static void main(String[] arguments) throws Exception {",
    ...[...body, ...request].map((line) => `        ${line}`),
    "    }",
    ...(isForm ? FORM_METHODS : []),
    "}",
    "",
  ].join("\n");
}

function formBody(fields, files) {
  return [
    ...flat(fields).map(([name, value]) => `addText(${literal(name)}, ${literal(value)});`),
    ...files.map(({ field, name }) => `addFile(${literal(field)}, ${literal(name)});`),
    'write("--" + BOUNDARY + "--\\r\\n");',
  ];
}

const FORM_IMPORTS = `\
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;`.split("\n");

const FORM_FIELDS = `\
    static final String BOUNDARY = "order-" + UUID.randomUUID();
    static final ByteArrayOutputStream FORM = new ByteArrayOutputStream();
`.split("\n");

const FORM_METHODS = String.raw`
    static void addText(String name, String text) throws IOException {
        add(name, text.getBytes(StandardCharsets.UTF_8));
    }

    static void addFile(String name, String file) throws IOException {
        add(name + "\"; filename=\"" + file, Files.readAllBytes(Path.of(file)));
    }

    static void add(String name, byte[] content) throws IOException {
        write("--" + BOUNDARY + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n");
        FORM.write(content);
        write("\r\n");
    }

    static void write(String text) throws IOException {
        FORM.write(text.getBytes(StandardCharsets.UTF_8));
    }`.split("\n");

// A constant of Java has at most 65,535 bytes, and a character at most three.
const MOST_OF_A_CONSTANT = 20_000;

// Returns a string of Java. Its compiler may read a source in another encoding than UTF-8: all characters are ASCII.
function literal(text) {
  if (text.length <= MOST_OF_A_CONSTANT) return constant(text);
  const parts = [];
  for (let start = 0; start < text.length; start += MOST_OF_A_CONSTANT) {
    parts.push(constant(text.slice(start, start + MOST_OF_A_CONSTANT)));
  }
  return `String.join("", ${parts.join(", ")})`;
}

function constant(text) {
  const spelt = text.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\r", "\\r").replaceAll("\t", "\\t");
  // Java reads `\u` before it looks for quotes and line ends, so these characters have octal escapes.
  return `"${ascii(spelt.replace(/[\0-\x1f]/g, octal))}"`;
}

// Returns a text block of Java for JSON, in which three quotes never follow each other.
function block(json, indent) {
  if (json.length > MOST_OF_A_CONSTANT) return literal(json);
  const lines = json.replaceAll("\\", "\\\\").split("\n");
  return ['"""', ...lines.map((line) => indent + ascii(line))].join("\n") + '"""';
}

function ascii(text) {
  return text.replace(/[^\0-\x7e]/g, escape);
}

function octal(character) {
  return `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`;
}
