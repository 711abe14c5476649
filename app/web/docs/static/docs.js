import { Bearers, restoreBearers } from "./bearers.js";
import { fillContents } from "./contents.js";
import { Samples } from "./samples.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

function followColours() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

/**
 * The contract, with this service where it shows one. What headers have as examples would be sent if
 * it stood in their fields.
 */
async function contract() {
  const spec = await (await fetch("/openapi.json")).json();
  spec.info.description = spec.info.description.replace(/(?<=export API=)\S+/, location.origin);
  for (const parameter of Object.values(spec.components.parameters)) delete parameter.example;
  return spec;
}

followColours();
dark.addEventListener("change", followColours);

const spec = await contract();
const ui = SwaggerUIBundle({
  spec,
  dom_id: "#contract",
  plugins: [Samples, Bearers],
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  syntaxHighlight: false,
  validatorUrl: null,
  onComplete: () => {
    restoreBearers(ui);
    fillContents(ui, spec);
  },
});
