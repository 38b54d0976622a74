// The playground: one form, one request, the images and what they cost.

const form = document.getElementById("order");
const key = document.getElementById("key");
const status = document.getElementById("status");
const images = document.getElementById("images");

// Before anything that can fail: without this a form would leave the page.
form.addEventListener("submit", (event) => {
  event.preventDefault();
  return order();
});
key.addEventListener("change", listModels);
await listModels();

async function listModels() {
  try {
    const response = await fetch("/v1/models", { headers: credentials() });
    if (response.status === 401) return say(aboutKeys(), key.value !== "");
    const models = await response.json();
    if (!response.ok) return say(models.error.message, true);
    const asked = form.elements.model.value || "dall-e-3";
    const options = models.data.map(({ id, shutdown_date: date }) =>
      new Option(date ? `${id} (${ends(date)})` : id, id, false, id === asked));
    form.elements.model.replaceChildren(...options);
    // A link cannot carry a key.
    document.getElementById("metrics").hidden = key.value !== "";
    say("");
  } catch (error) {
    say(error.message, true);
  }
}

async function order() {
  const button = form.querySelector("button");
  button.disabled = true;
  const startedAt = performance.now();
  try {
    if (!form.elements.model.value) await listModels();
    say("Working …");
    const response = await fetch("/v1/images/generations", {
      method: "POST",
      headers: { "content-type": "application/json", ...credentials() },
      body: JSON.stringify(fields()),
    });
    if (response.status === 401) return say(aboutKeys(), true);
    const answer = await response.json();
    if (!response.ok) throw new Error(`${answer.error.message} (${response.headers.get("x-request-id")})`);
    show(answer);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(2);
    const count = answer.data.length === 1 ? "1 image" : `${answer.data.length} images`;
    const cost = await price(response.headers.get("x-cost-microusd"));
    say(`${count} in ${seconds} s, cache ${response.headers.get("x-cache")}, ${cost}`);
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

function fields() {
  const given = {};
  for (const name of ["prompt", "n", "model", "size", "quality"]) {
    const value = form.elements[name].value;
    if (value !== "") given[name] = name === "n" ? Number(value) : value;
  }
  return given;
}

// The ledger alone tells test images from paid ones.
async function price(microusd) {
  const today = new Date().toISOString().slice(0, 10);
  const { totals = [] } = await fetch(`/v1/usage?from=${today}`, { headers: credentials() })
    .then((usage) => usage.json())
    .catch(() => ({}));
  if (totals.length && totals.every(({ realm }) => realm === "sandbox")) return "test images, nothing charged";
  return microusd === "unknown" ? "price unknown" : `$${(Number(microusd) / 1e6).toFixed(4)}`;
}

function credentials() {
  return key.value ? { authorization: `Bearer ${key.value.trim()}` } : {};
}

function aboutKeys() {
  return key.value
    ? "This gateway does not accept this key: it is mistyped, revoked or expired."
    : "This gateway needs a key: type yours into the field 'Your key'. Its operators create keys.";
}

function ends(date) {
  return new Date(date) > new Date() ? `ends ${date}` : `ended ${date}, answered by a current model`;
}

function show(answer) {
  const links = answer.data.map((entry) => {
    const link = document.createElement("a");
    const format = answer.output_format ?? "png";
    link.href = entry.url ?? `data:image/${format};base64,${entry.b64_json}`;
    link.target = "_blank";
    // Browsers open no `data:` link, but keep what it holds as a file.
    if (!entry.url) link.download = `image.${format}`;
    const image = document.createElement("img");
    image.src = link.href;
    image.alt = entry.revised_prompt ?? "generated image";
    link.append(image);
    return link;
  });
  images.prepend(...links);
}

function say(text, failed = false) {
  status.textContent = text;
  status.classList.toggle("failed", failed);
}
