// Pages of two origins in a browser: one that TRADEGRAPH_CORS_ORIGINS names, and one that it does not.
import { createServer } from "node:http";
import { launched } from "./browser.mjs";
import { say, signIn, url } from "./support.mjs";

const [, , , chromium, port] = process.argv;
const { token } = await signIn();
const pages = createServer((_request, response) => response.setHeader("Content-Type", "text/html").end("<!doctype html>"));
await new Promise((resolve) => pages.listen(Number(port), "127.0.0.1", resolve));
const browser = await launched(chromium);

// Runs in the page: a query with the token, a websocket, and a browser's own EventSource, which can't say who it is.
async function ask(url, token) {
  const query = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify({ query: "{ viewer { firstName } }" }),
  }).then(async (response) => [(await response.json()).data.viewer.firstName, response.headers.get("X-Request-Id") !== null], () => "refused");
  const socket = await new Promise((resolve) => {
    const opened = new WebSocket(url.replace("http", "ws"), "graphql-transport-ws");
    opened.onopen = () => opened.send(JSON.stringify({ type: "connection_init", payload: { Authorization: `Bearer ${token}` } }));
    opened.onmessage = ({ data }) => resolve(JSON.parse(data).type);
    opened.onclose = ({ code }) => resolve(code);
  });
  const events = await new Promise((resolve) => {
    const quotes = new EventSource(`${url}?query=${encodeURIComponent('subscription { quotes(symbols: ["AAPL"]) { symbol } }')}`);
    quotes.addEventListener("next", ({ data }) => (quotes.close(), resolve(JSON.parse(data).errors[0].extensions.reason)));
    quotes.onerror = () => (quotes.close(), resolve("refused"));
  });
  return { query, socket, events };
}

const found = {};
for (const host of ["localhost", "127.0.0.1"]) {
  const page = await browser.newPage();
  await page.goto(`http://${host}:${port}/`);
  found[host] = await page.evaluate(ask, url, token);
}
await browser.close();
say(found);
process.exit();
