// Shows the x-codeSamples of an operation in Swagger UI, above its responses.

const TOKENS =
  /(?<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`)|(?<word>\b(?:await|const|curl|from|if|import|new|throw)\b)|(?<note>#.*|\/\/.*)/g;
const CHOSEN = "docs.language";

/** The source as texts and spans, so that strings and keywords can be told apart. */
function highlighted(React, source) {
  const parts = [];
  let end = 0;
  for (const found of source.matchAll(TOKENS)) {
    const kind = Object.keys(found.groups).find((name) => found.groups[name]);
    parts.push(source.slice(end, found.index));
    parts.push(React.createElement("span", { key: found.index, className: kind }, found[0]));
    end = found.index + found[0].length;
  }
  return [...parts, source.slice(end)];
}

/** One choice of language for all samples of the page, and for the next visit. */
const language = {
  chosen: localStorage.getItem(CHOSEN),
  listeners: new Set(),
  choose(label) {
    this.chosen = label;
    localStorage.setItem(CHOSEN, label);
    this.listeners.forEach((listener) => listener());
  },
};

function component(React) {
  const create = React.createElement;

  return class CodeSamples extends React.Component {
    state = { copied: false };
    changed = () => this.setState({ copied: false });

    componentDidMount() {
      language.listeners.add(this.changed);
    }

    componentWillUnmount() {
      language.listeners.delete(this.changed);
    }

    tab(sample, selected) {
      const choose = () => language.choose(sample.label);
      const properties = { key: sample.label, type: "button", role: "tab", onClick: choose };
      return create("button", { ...properties, "aria-selected": selected === sample }, sample.label);
    }

    copy(sample) {
      const copied = () => this.setState({ copied: true });
      const copy = () => navigator.clipboard.writeText(sample.source).then(copied);
      const text = this.state.copied ? "Copied" : "Copy";
      return create("button", { type: "button", className: "copy", onClick: copy }, text);
    }

    render() {
      const { samples } = this.props;
      const selected = samples.find(({ label }) => label === language.chosen) ?? samples[0];
      const tabs = samples.map((sample) => this.tab(sample, selected));
      return create(
        "section",
        { className: "samples" },
        create("header", { role: "tablist", "aria-label": "Language" }, tabs, this.copy(selected)),
        create("pre", { tabIndex: 0 }, create("code", null, highlighted(React, selected.source))),
      );
    }
  };
}

/** The plugin of Swagger UI. */
export function Samples({ React }) {
  const CodeSamples = component(React);

  return {
    wrapComponents: {
      responses: (Responses, system) => (properties) => {
        const place = ["paths", properties.path, properties.method, "x-codeSamples"];
        const samples = system.specSelectors.specJson().getIn(place)?.toJS();
        return React.createElement(
          React.Fragment,
          null,
          samples && React.createElement(CodeSamples, { samples }),
          React.createElement(Responses, properties),
        );
      },
    },
  };
}
