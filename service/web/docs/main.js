// The reference of the API: Swagger UI with the head, the theme and the key of the other pages. Its own validator would send
// the document to swagger.io.
//
// Swagger UI fills a form with invented values, and cannot fill in a file. `FillForms` fills a form with the document's
// first example of it: until others are chosen, Execute sends the example's files.

import { showHeader } from "../page/header.js";
import { key, onKey } from "../page/key.js";
import { isDark, onTheme } from "../page/theme.js";

const PNG = "iVBORw0KGgo";

function toFile(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new File([bytes], "example.png", { type: "image/png" });
}

function toSent(value) {
  if (value?.map) return value.map(toSent);
  return typeof value === "string" && value.startsWith(PNG) ? toFile(value) : value ?? "";
}

// Returns the new value of a form, with the example's in the fields that have had none.
function fill({ specSelectors, oas3Selectors }, { value, pathMethod: [path, method] }) {
  const place = ["paths", path, method, "requestBody", "content", "multipart/form-data", "examples"];
  const example = specSelectors.specJson().getIn(place)?.first().get("value");
  const known = oas3Selectors.requestBodyValue(path, method);
  return example && value?.map ? value.map((each, name) => (known?.has(name) ? each : toSent(example.get(name)))) : value;
}

const FillForms = () => ({
  statePlugins: {
    oas3: {
      wrapActions: {
        setRequestBodyValue: (set, system) => (change) => set({ ...change, value: fill(system, change) }),
      },
    },
  },
});

showHeader("/docs");
followTheme();
onTheme(followTheme);

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  plugins: [FillForms],
  onComplete: () => {
    giveKey();
    onKey(giveKey);
  },
});

// "Try it out" sends the key that the person gave to the page.
function giveKey() {
  if (key()) ui.preauthorizeApiKey("bearer", key());
  else if (ui.authSelectors.authorized()?.has("bearer")) ui.authActions.logout(["bearer"]);
}

function followTheme() {
  document.documentElement.classList.toggle("dark-mode", isDark());
}
