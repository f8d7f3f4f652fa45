// graphql-ws: the server goes and comes back; the client goes on behind the last event that it has seen.
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { order, PLACE_ORDER, post, say, signIn, socketUrl, told, until } from "./support.mjs";

const { token, portfolioId } = await signIn();
const place = (key) => post(PLACE_ORDER, { input: order(portfolioId, key) }, token);

const client = createClient({
  url: socketUrl,
  webSocketImpl: WebSocket, // in Node; a browser has its own
  connectionParams: () => ({ Authorization: `Bearer ${token}` }),
  retryAttempts: Infinity,
  shouldRetry: () => true, // by itself it gives up when the server can't be reached at all
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 500 + 1000 * Math.random())), // else twice as long each time
});
let connections = 0;
client.on("connected", () => (connections += 1));

const events = [];
// When graphql-ws connects again it sends the same object: what `after` says by then is where it goes on.
const variables = { after: (await post("{ streamCursor }", {}, token)).streamCursor };
client.subscribe(
  {
    query: `subscription ($after: String) {
      orderEvents(after: $after) { cursor previousCursor type order { clientOrderId } }
    }`,
    variables,
  },
  {
    next: ({ data }) => {
      events.push(data.orderEvents);
      variables.after = data.orderEvents.cursor;
    },
    error: (error) => { throw error; },
    complete: () => {},
  },
);

await place("one");
await until(() => events.length === 2);
say({ events: events.length });
await told(); // the server has been killed, and is back
await place("two");
await place("three");
await until(() => events.length >= 6);
const { orders } = await post("{ orders(first: 10) { edges { node { clientOrderId events(first: 10) { edges { node { cursor } } } } } } }", {}, token);
say({ events, connections, all: orders.edges.flatMap(({ node }) => node.events.edges.map((edge) => edge.node.cursor)) });
process.exit();
