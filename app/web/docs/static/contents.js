// The contents beside the page: its chapters, and each operation under its group and its tag.

const contents = document.querySelector("#contents");
const menu = document.querySelector("#menu");

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function openMenu(open) {
  document.body.classList.toggle("menu-open", open);
  menu.setAttribute("aria-expanded", open);
}

/** Run it once something that matches is on the page. */
function whenThere(selector, run) {
  const found = document.querySelector(selector);
  if (found) run(found);
  else requestAnimationFrame(() => whenThere(selector, run));
}

function chapters() {
  const headings = document.querySelectorAll("#contract .info .description h2");
  return Array.from(headings, (heading) => {
    heading.id = heading.textContent.toLowerCase().replaceAll(" ", "-");
    return element("a", { href: `#${heading.id}` }, heading.textContent);
  });
}

function operationLink(ui, tag, method, operation) {
  const id = operation.operationId;
  const link = element("a", { href: `#/${encodeURIComponent(tag)}/${id}` });
  link.append(element("span", { className: `method ${method}` }, method), operation.summary);
  link.title = id;
  link.addEventListener("click", () => {
    ui.layoutActions.show(["operations-tag", tag], true);
    ui.layoutActions.show(["operations", tag, id], true);
    const place = CSS.escape(`operations-${tag.replaceAll(" ", "_")}-${id}`);
    whenThere(`#${place}.is-open`, (block) => block.scrollIntoView());
  });
  return link;
}

function tagContents(ui, spec, tag) {
  const links = Object.values(spec.paths).flatMap((path) =>
    Object.entries(path)
      .filter(([, operation]) => operation.tags?.includes(tag))
      .map(([method, operation]) => operationLink(ui, tag, method, operation)),
  );
  return element("details", {}, element("summary", {}, tag), ...links);
}

/** Show only what has the text in its name, with its tag opened. */
function find(text) {
  for (const tag of contents.querySelectorAll("details")) {
    const links = [...tag.querySelectorAll("a")];
    const named = (link) => `${link.textContent} ${link.title}`.toLowerCase().includes(text);
    links.forEach((link) => (link.hidden = !named(link)));
    tag.hidden = links.every((link) => link.hidden);
    tag.open = text !== "" && !tag.hidden;
  }
}

/** Fill the contents once Swagger UI shows the document. */
export function fillContents(ui, spec) {
  whenThere("#contract .info .description h2", () => {
    const nav = contents.querySelector("nav");
    nav.replaceChildren(element("h2", {}, "Guide"), ...chapters());
    for (const { name, tags } of spec["x-tagGroups"]) {
      nav.append(element("h2", {}, name), ...tags.map((tag) => tagContents(ui, spec, tag)));
    }
    document.querySelector("#contract").setAttribute("aria-busy", "false");
    if (location.hash && !location.hash.startsWith("#/")) {
      document.getElementById(location.hash.slice(1))?.scrollIntoView();
    }
  });
}

menu.addEventListener("click", () => openMenu(!document.body.classList.contains("menu-open")));
contents.addEventListener("click", (event) => event.target.closest("a") && openMenu(false));
contents.querySelector("#find").addEventListener("input", (event) => {
  find(event.target.value.trim().toLowerCase());
});
document.addEventListener("keydown", (event) => event.key === "Escape" && openMenu(false));
