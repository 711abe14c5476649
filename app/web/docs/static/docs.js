import { fillContents } from "./contents.js";
import { FoldedProblems } from "./responses.js";
import { Samples } from "./samples.js";
import { signIn } from "./sign-in.js";

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

// Earlier releases had Swagger UI keep tokens here, also after the browser was closed.
localStorage.removeItem("authorized");
followColours();
dark.addEventListener("change", followColours);

const spec = await contract();
const withPasswords = document.querySelector("#contract").dataset.signIn === "password";
const ui = SwaggerUIBundle({
  spec,
  dom_id: "#contract",
  plugins: [Samples, FoldedProblems, signIn("bearer", withPasswords)],
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  syntaxHighlight: false,
  validatorUrl: null,
  onComplete: () => fillContents(ui, spec),
});
