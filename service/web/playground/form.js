// Owns the form of an order: what to do, prompt, model, its parameters, number of images.
//
// The controls hold the state. Those that depend on the model are drawn anew around the values that it still takes.

import { byId, make } from "../page/dom.js";
import { day } from "../page/format.js";
import { onLanguage, say } from "../page/words.js";
import { field, parameterField, parametersFor, sizeField, sizeOf } from "./fields.js";
import { focusMarked, mark, unmark } from "./marks.js";
import { contractOf, lifeOf, modelsFor, PREVIEWS } from "./models.js";

// A phone has no Ctrl key.
const HAS_KEYS = matchMedia("(any-pointer: fine)");
const LIVES = ["living", "ending", "bridged"];

// Runs `<form id="order">`. *inputs* are the images to edit; *onChange* is called after each change, *onOrder* with an order
// that the person sends, *onFailure* with what the gateway refused to tell, *onRetry* when the person sends without that.
export function createForm({ inputs, onChange, onOrder, onFailure, onRetry }) {
  const form = byId("order");
  const prompt = form.elements.prompt;
  let models = [];
  let able = [];
  let contract = null;
  let example = "";
  // Numbers what was asked about models: an answer may come after the next question.
  let turn = 0;
  // Resolves when the lists are those of the chosen model.
  let following = Promise.resolve();

  const operation = () => form.elements.operation.value;

  // Returns the values of the controls by name.
  function read() {
    const named = [...form.elements].filter(({ name, type }) => name && type !== "radio");
    return Object.fromEntries(named.map((each) => [each.name, each.type === "checkbox" ? each.checked : each.value]));
  }

  // Asks for what the chosen model takes, and draws it around *values*.
  function follow(values) {
    following = learnContract(values);
    return following;
  }

  async function learnContract(values) {
    const mine = ++turn;
    drawMode();
    try {
      const found = await modelsFor(operation(), models);
      const chosen = found.find(({ id }) => id === values.model) ?? found[0];
      const taken = chosen ? await contractOf(chosen.id) : null;
      if (mine !== turn) return;
      [able, contract] = [found, taken];
      draw({ ...values, model: chosen?.id });
      onChange();
    } catch (error) {
      if (mine === turn) onFailure(error);
    }
  }

  // Writes what depends on the operation alone.
  function drawMode() {
    const isGenerated = operation() === "generate";
    byId("mode-hint").textContent = say(`about.${operation()}`);
    byId("prompt-field").hidden = operation() === "vary";
    byId("prompt-label").textContent = say(isGenerated ? "field.prompt" : "field.change");
    prompt.placeholder = [say(isGenerated ? "promptPlaceholder" : "changePlaceholder"), HAS_KEYS.matches && say("sendKeys")].filter(Boolean).join(" ");
    byId("order-title").textContent = say(`title.${operation()}`);
    byId("send").textContent = say(`send.${operation()}`);
    inputs.show(!isGenerated);
    // The example is replaced until the person has written something.
    const next = isGenerated ? say("examplePrompt") : "";
    if (prompt.value === example) prompt.value = next;
    example = prompt.value === next ? next : "";
  }

  function draw(values) {
    const { name } = document.activeElement;
    const isMoreOpen = byId("more")?.open ?? false;
    byId("fields").replaceChildren(modelField(values.model), ...(contract ? parameterFields(values, isMoreOpen) : []));
    if (operation() !== "generate") inputs.setRules(contract?.inputs ?? null, operation());
    // The keyboard stays where it was.
    if (name && !document.activeElement.name) form.elements[name]?.focus?.();
  }

  function modelField(chosen) {
    const groups = LIVES.map((state) => [state, able.filter((model) => lifeOf(model).state === state)]);
    const select = make("select", {}, groups.filter(([, members]) => members.length > 0).map(([state, members]) =>
      make("optgroup", { label: say(`models.${state}`) }, members.map(({ id }) =>
        make("option", { value: id, selected: id === chosen }, id)))));
    const model = able.find(({ id }) => id === chosen);
    return field("model", say("field.model"), select, model && badge(model));
  }

  function parameterFields(values, isMoreOpen) {
    const { max_n: most, parameters, sizes } = contract;
    const [first, others] = parametersFor(contract, operation(), values.output_format);
    const build = (name) => name !== "size" && parameterField(name, parameters[name], values[name]);
    const size = values.size === "free" ? `${values.width}x${values.height}` : values.size;
    const count = make("input", { type: "number", min: 1, max: most, step: 1, value: values.n ?? 1, inputmode: "numeric" });
    const watch = "partial_images" in parameters && make("label", { class: "check" },
      make("input", { type: "checkbox", name: "watch", checked: values.watch ?? true }), say("watch"));
    const more = others.map(build).filter(Boolean);
    return [
      make("div", { class: "pairs" }, sizeField(sizes, size), field("n", say("field.n"), count), first.map(build)),
      more.length > 0 && make("details", { id: "more", open: isMoreOpen }, make("summary", {}, say("moreSettings")),
        make("div", { class: "pairs" }, more)),
      watch,
    ].filter(Boolean);
  }

  // Returns the order as it stands, without its mask, which takes time to draw.
  function order() {
    const values = read();
    const parameters = {};
    const size = sizeOf(form);
    if (size) parameters.size = size;
    for (const name of parametersFor(contract, operation(), values.output_format).flat()) {
      if (name === "size" || !values[name]) continue;
      parameters[name] = "minimum" in contract.parameters[name] ? Number(values[name]) : values[name];
    }
    return {
      operation: operation(),
      model: values.model,
      prompt: operation() === "vary" ? "" : prompt.value.trim(),
      n: values.n === "" ? 1 : Number(values.n),
      parameters,
      images: operation() === "generate" ? [] : inputs.images(),
      mask: null,
      fresh: false,
      previews: values.watch ? PREVIEWS : 0,
    };
  }

  async function send(event) {
    event.preventDefault();
    // A person may be faster than the lists.
    if (!contract) await onRetry();
    await following;
    if (!contract) return;
    await inputs.ready();
    const wanted = order();
    const problem = operation() !== "generate" && inputs.problem();
    unmark(form);
    if (problem) mark(form, "image", problem);
    if (operation() !== "vary" && wanted.prompt === "") mark(form, "prompt", say("noPrompt"));
    if (form.querySelector(".wrong")) return focusMarked(form);
    if (operation() === "edit") wanted.mask = await inputs.mask();
    onOrder(wanted);
  }

  form.addEventListener("submit", send);
  // Two equal orders at once are for two different images: a double click, or a key that is held, means one.
  byId("send").addEventListener("click", (event) => event.detail > 1 && event.preventDefault());
  form.addEventListener("keydown", (event) => {
    const isByKeys = event.ctrlKey || event.metaKey;
    if (event.key !== "Enter" || (event.target === prompt && !isByKeys)) return;
    if (event.repeat || isByKeys) event.preventDefault();
    if (isByKeys && !event.repeat) form.requestSubmit();
  });
  form.addEventListener("input", ({ target }) => {
    if (target.dataset?.param) unmark(form, target.dataset.param);
    if (target.name === "model" || target.name === "operation") follow(read());
    else if (target.name === "output_format") draw(read());
    if (contract) onChange();
  });
  onLanguage(() => {
    drawMode();
    draw(read());
  });

  drawMode();
  return {
    order: () => (contract ? order() : null),
    setModels(known) {
      models = known;
      return follow(read());
    },
    // Prepares *name*, "edit" or "vary", of *image* by the model *id*, and takes the person there.
    async begin(name, image, id) {
      form.elements.operation.value = name;
      prompt.value = "";
      await Promise.all([inputs.clear(), inputs.add(image), follow({ ...read(), model: id })]);
      byId("order-title").scrollIntoView();
      (name === "edit" ? prompt : byId("send")).focus();
    },
    // Images that come are to be edited.
    takeInputs({ added }) {
      if (added && operation() === "generate") {
        form.elements.operation.value = "edit";
        follow(read());
      } else if (contract) onChange();
    },
    mark: (param, ...message) => mark(form, param, ...message),
    unmark: () => unmark(form),
    focusMarked: () => focusMarked(form),
  };
}

// Returns what a person should know about the life of *model*.
function badge(model) {
  const { state, days } = lifeOf(model);
  if (state === "living") return make("p", { class: "life good" }, say("badge.living"));
  const on = model.shutdown_date && day(model.shutdown_date);
  if (state === "ending") return make("p", { class: "life warn" }, say("badge.ending", days, on));
  return make("p", { class: "life warn" }, say("badge.bridged", model.answered_by, on));
}
