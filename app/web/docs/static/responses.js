// Folds the problems of an operation: each shows its status and title, and the rest when opened.

/** The plugin of Swagger UI. */
export function FoldedProblems({ React }) {
  const create = React.createElement;

  const folding = (Response) => (properties) => {
    const [open, setOpen] = React.useState(false);
    const { code, response } = properties;
    if (Number(code) < 400) return create(Response, properties);
    const toggle = { type: "button", "aria-expanded": open, onClick: () => setOpen(!open) };
    const title = create("button", toggle, response.get("description"));
    return create(
      React.Fragment,
      null,
      create("tr", { className: "problem" }, create("td", null, code), create("td", null, title)),
      open && create(Response, properties),
    );
  };
  return { wrapComponents: { response: folding } };
}
