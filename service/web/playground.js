// The playground: one form, one request, the pictures and what they cost.

const form = document.getElementById("order");
const status = document.getElementById("status");
const images = document.getElementById("images");

const models = await (await fetch("/v1/models")).json();
for (const model of models.data) {
  const label = model.shutdown_date ? `${model.id} (${ends(model.shutdown_date)})` : model.id;
  form.model.add(new Option(label, model.id, false, model.id === "dall-e-3"));
}

function ends(date) {
  return new Date(date) > new Date() ? `ends ${date}` : `ended ${date}, answered by a living model`;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { key, n, ...fields } = Object.fromEntries(new FormData(form));
  const order = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
  const headers = { "content-type": "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  form.querySelector("button").disabled = true;
  say("Working …");
  const startedAt = performance.now();
  try {
    const response = await fetch("/v1/images/generations", {
      method: "POST",
      headers,
      body: JSON.stringify({ ...order, n: Number(n) }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${answer.error.message} (${response.headers.get("x-request-id")})`);
    show(answer);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(2);
    const cost = (Number(response.headers.get("x-cost-microusd")) / 1e6).toFixed(4);
    say(`${answer.data.length} images in ${seconds} s, cache ${response.headers.get("x-cache")}, $${cost}`);
  } catch (error) {
    say(error.message, true);
  } finally {
    form.querySelector("button").disabled = false;
  }
});

function show(answer) {
  const pictures = answer.data.map((entry) => {
    const link = document.createElement("a");
    link.href = entry.url ?? `data:image/png;base64,${entry.b64_json}`;
    link.target = "_blank";
    const picture = document.createElement("img");
    picture.src = link.href;
    picture.alt = entry.revised_prompt ?? "generated image";
    link.append(picture);
    return link;
  });
  images.prepend(...pictures);
}

function say(text, failed = false) {
  status.textContent = text;
  status.classList.toggle("failed", failed);
}
