// Keeps the bearer tokens of "Authorize" until the tab is closed.

const KEPT = "docs.bearers";

/** The plugin of Swagger UI: what is authorized is kept, and forgotten on logging out. */
export function Bearers() {
  const keeping = (original, system) => (payload) => {
    const result = original(payload);
    const authorized = system.authSelectors.authorized()?.toJS() ?? {};
    const values = Object.entries(authorized).map(([name, { value }]) => [name, value]);
    sessionStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(values)));
    return result;
  };
  return { statePlugins: { auth: { wrapActions: { authorize: keeping, logout: keeping } } } };
}

/** Authorize with what this tab has kept. */
export function restoreBearers(ui) {
  // Earlier releases had Swagger UI keep them here, also after the browser was closed.
  localStorage.removeItem("authorized");
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  for (const [name, value] of Object.entries(kept)) ui.preauthorizeApiKey(name, value);
}
