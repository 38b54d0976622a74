// Reads the events of a stream (server-sent events).

const END = "\n\n";

// Yields `{ name, data }` of each event of *body*, a ReadableStream of bytes; *data* is its JSON.
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let searched = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    // An image has megabytes: what was searched is not searched again.
    for (let end = text.indexOf(END, searched); end >= 0; end = text.indexOf(END)) {
      const event = parse(text.slice(0, end));
      text = text.slice(end + END.length);
      if (event) yield event;
    }
    searched = Math.max(0, text.length - 1);
  }
}

// Returns null for a comment, which only keeps the connection alive.
function parse(block) {
  let name = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return data && { name, data: JSON.parse(data) };
}
