// Knows the models that this person may use, and what each of them takes.

import { read } from "../page/api.js";

// Stages of each image that a person sees, of those models that show any.
export const PREVIEWS = 2;

const DAY_MS = 86_400_000;
const OPERATIONS = ["generate", "edit", "vary"];
const SNAPSHOT = /-\d{4}-\d{2}-\d{2}$/;

let contracts = new Map();

// Asks the gateway again, as the key or a catalogue may have changed. Returns the models, the best for a newcomer first.
export async function loadModels() {
  contracts = new Map();
  const [{ data }, usage] = await Promise.all([read("/v1/models"), read("/v1/usage")]);
  return data.filter(({ id }) => usage.models.includes(id)).sort(byUse);
}

// Returns what the model *id* takes: `operations`, `sizes`, `parameters`, `inputs`, `max_n`, `max_prompt_chars`.
export function contractOf(id) {
  if (!contracts.has(id)) {
    const asked = read(`/v1/models/${id}`);
    contracts.set(id, asked);
    asked.catch(() => contracts.delete(id));
  }
  return contracts.get(id);
}

// Returns how many stages of each image the model *id* shows.
export async function previewsOf(id) {
  return "partial_images" in (await contractOf(id)).parameters ? PREVIEWS : 0;
}

// Returns those of *models* that can do *operation*.
export async function modelsFor(operation, models) {
  if (operation === OPERATIONS[0]) return models;
  const taken = await Promise.all(models.map(({ id }) => contractOf(id)));
  return models.filter((_, place) => taken[place].operations.includes(operation));
}

// Returns `{ state, days }`: "living", "ending" in so many days, or "bridged": another model answers for it.
export function lifeOf({ answered_by: answeredBy, shutdown_date: shutdown }) {
  if (answeredBy) return { state: "bridged" };
  if (shutdown) return { state: "ending", days: Math.max(0, Math.ceil((new Date(shutdown) - Date.now()) / DAY_MS)) };
  return { state: "living" };
}

// Names without a date first: a snapshot of a model is for those who look for it.
function byUse(one, other) {
  const rank = (model) => ["living", "ending", "bridged"].indexOf(lifeOf(model).state) * 2 + Number(SNAPSHOT.test(model.id));
  return rank(one) - rank(other) || other.created - one.created || one.id.localeCompare(other.id);
}
