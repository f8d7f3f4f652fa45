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

  // The access token of the last sign-in on this page, in memory only. A tab whose headers name another uses that one.
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
    defaultTabs: settings.examples,
    defaultEditorToolsVisibility: true,
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: true,
    plugins: [GraphiQLPluginExplorer.explorerPlugin()],
  };
  const logo = React.createElement(GraphiQL.Logo, null, "Tradegraph");
  const root = ReactDOM.createRoot(document.getElementById("graphiql"));
  root.render(React.createElement(GraphiQL, properties, logo));
})();
