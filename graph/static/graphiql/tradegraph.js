// Joins GraphiQL to this server. What differs between pages stands in the page's #settings block, so that no script is inline.
"use strict";

(() => {
  if (!window.React || !window.ReactDOM || !window.GraphiQL || !window.GraphiQLPluginExplorer || !window.graphqlWs) {
    document.getElementById("waiting").textContent =
      "GraphiQL's files are neither on this server nor can they be loaded from the CDN. " +
      "Where Node is installed, `make graphiql` brings them to this server. The API itself works: POST to this address.";
    return;
  }
  const settings = JSON.parse(document.getElementById("settings").textContent);
  // GraphiQL's dialogs add a <style> element; the library that does it takes the policy's nonce from this name.
  window.__webpack_nonce__ = settings.nonce;

  // The access token of the last sign-in on this page. A tab whose headers name another uses that one. Either is in memory
  // only, and gone with the page: hence no headers are kept in the browser's storage.
  let signedIn = null;

  function authorization(headers) {
    const name = Object.keys(headers ?? {}).find((key) => key.toLowerCase() === "authorization");
    return name ? headers[name] : signedIn;
  }

  function withAuthorization(headers) {
    const value = authorization(headers);
    return value ? { authorization: value, ...headers } : headers;
  }

  async function post(url, options) {
    const response = await fetch(url, { ...options, headers: withAuthorization(options.headers) });
    if (response.status !== 401 || !signedIn || authorization(options.headers) !== signedIn) return response;
    // The remembered token has ended. The server refused the request as a whole, so asking again does nothing twice.
    signedIn = null;
    return fetch(url, options);
  }

  function rememberSignIn(result) {
    const payload = Object.values(result?.data ?? {}).find((value) => typeof value?.accessToken === "string");
    if (payload) signedIn = `Bearer ${payload.accessToken}`;
  }

  function socketUrl() {
    const url = new URL(settings.subscriptions ?? settings.endpoint, window.location.href);
    url.protocol = window.location.protocol === "https:" ? "wss:" : "ws:";
    return url.href;
  }

  // One client for each run: it opens no socket before a subscription starts, and closes it after.
  function socketClient(headers) {
    const value = authorization(headers);
    return graphqlWs.createClient({
      url: socketUrl(),
      connectionParams: value ? { Authorization: value } : {},
      // A silent reconnect would hide the events in between: show that the stream ended; `after` resumes it.
      retryAttempts: 0,
    });
  }

  async function fetcher(parameters, options) {
    const send = GraphiQL.createFetcher({
      url: settings.endpoint,
      fetch: post,
      wsClient: socketClient(options?.headers),
      enableIncrementalDelivery: false,
    });
    const result = await send(parameters, options);
    rememberSignIn(result);
    return result;
  }

  const properties = {
    fetcher,
    defaultTabs: settings.examples.length ? settings.examples : undefined,
    defaultEditorToolsVisibility: true,
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
    showPersistHeadersSettings: false,
    plugins: [GraphiQLPluginExplorer.explorerPlugin()],
  };

  function show() {
    const logo = React.createElement(GraphiQL.Logo, null, "Tradegraph");
    const root = ReactDOM.createRoot(document.getElementById("graphiql"));
    root.render(React.createElement(GraphiQL, properties, logo));
  }

  // Why nobody is signed in, or nothing if somebody is.
  async function refusal(input) {
    const query = "mutation ($input: LoginInput!) { login(input: $input) { accessToken user { role } errors { message } } }";
    const body = JSON.stringify({ query, variables: { input } });
    const response = await fetch(settings.endpoint, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const { data, errors } = await response.json();
    const [error] = errors ?? data.login.errors;
    if (error) return error.message;
    if (data.login.user.role !== "ADMIN") return "This user is no ADMIN.";
    rememberSignIn({ data });
  }

  const form = document.getElementById("sign-in");
  if (!form) {
    show();
    return;
  }
  document.getElementById("waiting").remove();
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const why = await refusal(Object.fromEntries(new FormData(form))).catch(() => "The server does not answer: try again.");
    if (why) document.getElementById("refused").textContent = why;
    else show();
  });
})();
