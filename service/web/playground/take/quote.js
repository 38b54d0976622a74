// Writes texts as literals of each language. A literal means exactly the text, in whatever shell or source it is pasted.

// Returns one word of a POSIX shell. Between single quotes nothing has a meaning, not even `$`, `\` and `!`.
export function shell(text) {
  return /^[\w.,:/@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// Returns a string of JSON, which is one of Python and of JavaScript, too.
export function quoted(text) {
  return JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029]/g, escape);
}

// Returns any value of JSON as Python writes it.
export function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value !== "object") return typeof value === "string" ? quoted(value) : String(value);
  return `{${Object.entries(value).map(([name, each]) => `${quoted(name)}: ${python(each)}`).join(", ")}}`;
}

// Returns a character as `\uXXXX`, which all these languages read.
export function escape(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
