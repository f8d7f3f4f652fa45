// graphql-ws: all kinds of operations over one socket, independent of each other.
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { order, PLACE_ORDER, say, signIn, socketUrl, until } from "./support.mjs";

const { token, portfolioId } = await signIn();
const client = createClient({
  url: socketUrl,
  lazy: false, // one socket, also while nothing is asked
  webSocketImpl: WebSocket, // a browser has its own
  connectionParams: () => ({ Authorization: `Bearer ${token}` }),
});
let sockets = 0;
client.on("opened", () => (sockets += 1));

const once = (query, variables) =>
  new Promise((resolve, reject) => {
    let answer;
    client.subscribe({ query, variables }, {
      next: (value) => (answer = value),
      error: reject,
      complete: () => resolve(answer),
    });
  });

const { data: { streamCursor } } = await once("{ streamCursor }");

const events = [];
let ended = null;
const leave = client.subscribe(
  {
    query: `subscription ($after: String) { orderEvents(after: $after) { cursor type order { clientOrderId status } } }`,
    variables: { after: streamCursor },
  },
  {
    next: ({ data }) => events.push(data.orderEvents),
    error: (error) => (ended = error),
    complete: () => (ended = "complete"),
  },
);

const first = await once(PLACE_ORDER, { input: order(portfolioId, "first") });
await until(() => events.length === 2);

// Each of these is wrong in a way of its own, and has nothing to do with the others.
const codes = (failure) => failure.map((error) => error.extensions.code);
const failures = {
  syntax: await once("{ viewer {").catch(codes),
  unknownField: await once("{ nothing }").catch(codes),
  variable: await once("query ($id: ID!) { order(id: $id) { id } }").catch(codes),
};

const second = await once(PLACE_ORDER, { input: order(portfolioId, "second") });
await until(() => events.length === 4);
const refused = await once(PLACE_ORDER, { input: order(portfolioId, "third", { quantity: "1000000" }) });
leave();
await until(() => ended);
await client.dispose();
say({ first: first.data.placeOrder, second: second.data.placeOrder, refused: refused.data.placeOrder, failures, events, ended, sockets });
process.exit();
