// The dialog that "Authorize" opens: sign in or paste a token. Only the page's memory keeps tokens.

/** Send a JSON body and return the answer. Throws an Error that says in plain words what is wrong. */
async function post(path, body) {
  const request = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, request).catch(() => {
    throw new Error("The service cannot be reached. Try again later.");
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(refusal(response, answer));
  return answer;
}

/** What a problem document says: its detail, each wrong value, and how long to wait. */
function refusal(response, problem) {
  const detail = problem.detail ?? `The service answered with status ${response.status}.`;
  const wrong = (problem.errors ?? []).map((error) => `${error.pointer?.slice(1)}: ${error.detail}.`);
  const seconds = response.headers.get("Retry-After");
  const wait = seconds ? [`Try again in ${seconds} s.`] : [];
  return [detail, ...wrong, ...wait].join(" ");
}

/** The session of this page at the service: at most one, until its access token expires. */
class Session {
  notice = { text: "", refused: false };

  /** Sign in and return the access token. */
  async start(credentials, expire) {
    const tokens = await post("/v1/auth/token", credentials);
    this.refreshToken = tokens.refresh_token;
    this.expiry = setTimeout(expire, tokens.expires_in * 1000);
    return tokens.access_token;
  }

  async end() {
    const token = this.refreshToken;
    this.refreshToken = null;
    clearTimeout(this.expiry);
    if (token) await post("/v1/auth/logout", { refresh_token: token });
  }
}

/** The elements of the dialog; React's createElement makes them. */
function elements(create) {
  const field = (label, properties) =>
    create("label", null, label, create("input", { required: true, ...properties }));
  const button = (text, properties) => create("button", { type: "button", ...properties }, text);

  return {
    title: create("h2", { id: "sign-in-title" }, "Authorize"),
    about: create(
      "p",
      null,
      "The requests that you send from this page carry your access token. ",
      "The page forgets the token when you reload or close it.",
    ),
    credentials: (onSubmit) =>
      create(
        "form",
        { className: "credentials", onSubmit },
        field("E-mail", { name: "email", type: "email", autoComplete: "username" }),
        field("Password", {
          name: "password",
          type: "password",
          autoComplete: "current-password",
        }),
        button("Sign in", { type: "submit" }),
        button("Create account", { type: "submit", value: "register" }),
      ),
    pasting: (label, onSubmit) =>
      create(
        "form",
        { className: "pasting", onSubmit },
        field(label, { name: "token", autoComplete: "off", spellCheck: false }),
        button("Use this token", { type: "submit" }),
      ),
    signOut: (onClick) => button("Sign out", { className: "sign-out", onClick }),
    notice: ({ text, refused }) =>
      create("p", { role: "status", className: refused ? "refused" : "" }, text),
    close: (onClick) => button("Close", { className: "close", onClick }),
  };
}

function component(React, scheme, withPasswords) {
  const parts = elements(React.createElement);
  const session = new Session();

  return function SignIn({ authActions, authSelectors, specSelectors }) {
    const dialog = React.useRef();
    const [notice, say] = React.useState(session.notice);
    const authorized = authSelectors.authorized().has(scheme);
    const refuse = (error) => say({ text: error.message, refused: true });
    const close = () => authActions.showDefinitions(false);

    React.useEffect(() => {
      const opener = document.activeElement;
      dialog.current.showModal();
      return () => opener.focus();
    }, []);
    React.useEffect(() => dialog.current.querySelector("input, .sign-out").focus(), [authorized]);

    const use = (value, text) => {
      const schema = specSelectors.securityDefinitions().get(scheme).toJS();
      session.notice = { text, refused: false };
      authActions.authorize({ [scheme]: { name: scheme, schema, value } });
      say(session.notice);
    };
    const signOut = (text) => {
      session.end().catch(refuse);
      session.notice = { text, refused: false };
      authActions.logout([scheme]);
      say(session.notice);
    };
    const expire = () => signOut("Your access token has expired.");
    const signIn = async (event) => {
      event.preventDefault();
      const body = Object.fromEntries(new FormData(event.target));
      const registers = event.nativeEvent.submitter.value === "register";
      say({ text: "Signing in…", refused: false });
      try {
        // Where addresses have to be confirmed first, there is no account in the answer.
        if (registers && !(await post("/v1/auth/register", body)).id) {
          say({ text: `Follow the link in the mail to ${body.email}, then sign in.`, refused: false });
          return;
        }
        use(await session.start(body, expire), `You are signed in as ${body.email}.`);
      } catch (error) {
        refuse(error);
      }
    };
    const paste = (event) => {
      event.preventDefault();
      const token = event.target.elements.token.value.trim();
      use(token.replace(/^Bearer\s+/i, ""), "This page uses your token.");
    };

    const label = withPasswords ? "Or paste an access token" : "Paste an access token";
    return React.createElement(
      "dialog",
      { ref: dialog, className: "sign-in", "aria-labelledby": "sign-in-title", onClose: close },
      parts.title,
      parts.about,
      parts.notice(notice),
      !authorized && withPasswords && parts.credentials(signIn),
      !authorized && parts.pasting(label, paste),
      authorized && parts.signOut(() => signOut("You are signed out.")),
      parts.close(close),
    );
  };
}

/** The plugin of Swagger UI: its dialog for this security scheme. */
export const signIn = (scheme, withPasswords) => ({ React }) => {
  const SignIn = component(React, scheme, withPasswords);
  return { wrapComponents: { authorizationPopup: () => SignIn } };
};
