// urql with its normalised cache (graphcache), and subscriptions through graphql-ws.
import { readFileSync } from "node:fs";
import { Client, fetchExchange, gql, subscriptionExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";
import { buildSchema, introspectionFromSchema } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { order, say, signIn, socketUrl, until, url } from "./support.mjs";

const { token, portfolioId } = await signIn();
const warnings = [];
const SCREEN = gql`
  query Screen($id: ID!, $first: Int!, $after: String) {
    portfolio(id: $id) {
      id cash reservedCash buyingPower
      valuation { totalValue asOf }
      orders(first: $first, after: $after) {
        edges { node { id clientOrderId status } }
        pageInfo { hasNextPage endCursor hasPreviousPage startCursor }
      }
    }
  }`;

// An object without an id is a part of the one that it was read with; a quote is known by its symbol.
const schema = introspectionFromSchema(buildSchema(readFileSync("../../schema.graphql", "utf8")));
const isPart = (type) => type.kind === "OBJECT" && !type.fields.some(({ name }) => name === "id");
const parts = schema.__schema.types.filter((type) => isPart(type) && !/^(Query|Mutation|Subscription|__)/.test(type.name));
const keys = {
  ...Object.fromEntries(parts.map(({ name }) => [name, () => null])),
  Quote: ({ symbol }) => symbol,
};

const updates = {
  Mutation: {
    placeOrder({ placeOrder }, { input }, cache) {
      if (!placeOrder.order) return;
      cache.updateQuery({ query: SCREEN, variables: { id: input.portfolioId, first: 2 } }, (shown) => {
        shown?.portfolio.orders.edges.unshift({ __typename: "OrderEdge", node: placeOrder.order });
        return shown;
      });
    },
  },
};

const socket = createClient({
  url: socketUrl, webSocketImpl: WebSocket, connectionParams: () => ({ Authorization: `Bearer ${token}` }) });
const answered = [];
const client = new Client({
  url,
  preferGetMethod: false,
  fetchOptions: { headers: { Authorization: `Bearer ${token}` } },
  fetch: async (...words) => {
    const response = await fetch(...words);
    answered.push(response.headers.get("Content-Type"));
    return response;
  },
  exchanges: [
    cacheExchange({
      schema, keys, updates,
      resolvers: { Portfolio: { orders: relayPagination() } },
      logger: (_severity, message) => warnings.push(message),
    }),
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
      }),
    }),
  ],
});

let screen;
client.query(SCREEN, { id: portfolioId, first: 2 }).subscribe(({ data }) => (screen = data?.portfolio));
const lines = () => screen.orders.edges.map(({ node }) => `${node.clientOrderId} ${node.status}`);
const PLACE = gql`
  mutation Place($input: PlaceOrderInput!) {
    placeOrder(input: $input) {
      order { id clientOrderId status portfolio { id cash reservedCash buyingPower } }
      errors { code message path }
    }
  }`;
const place = (key, more) => client.mutation(PLACE, { input: order(portfolioId, key, more) }).toPromise();

await until(() => screen);
const asked = answered.length;
const placed = await place("limit", { type: "LIMIT", limitPrice: "1", quantity: "10" });
await until(() => screen.orders.edges.length === 1);
const after = { lines: lines(), reservedCash: screen.reservedCash, buyingPower: screen.buyingPower, requests: answered.length - asked };
const refused = await place("large", { quantity: "1000000" });

client.subscription(
  gql`subscription { orderEvents { cursor order { id status portfolio { id cash reservedCash buyingPower } } } }`, {},
).subscribe(() => {});
await place("market");
await until(() => lines()[0] === "market FILLED" && Number(screen.cash) < 100000);
const filled = { lines: lines(), requests: answered.length - asked };

await place("third", { type: "LIMIT", limitPrice: "1" });
const fresh = new Client({
  url,
  preferGetMethod: false,
  fetchOptions: { headers: { Authorization: `Bearer ${token}` } },
  exchanges: [cacheExchange({ schema, keys, resolvers: { Portfolio: { orders: relayPagination() } } }), fetchExchange],
});
const read = (after) => fresh.query(SCREEN, { id: portfolioId, first: 2, after }).toPromise();
const first = (await read()).data.portfolio.orders;
const all = (await read(first.pageInfo.endCursor)).data.portfolio.orders;

const code = async (query) => {
  const { error } = await client.query(gql(query), {}, { requestPolicy: "network-only" }).toPromise();
  return error.graphQLErrors[0].extensions.code;
};
say({
  placed: placed.data.placeOrder, after, refused: refused.data.placeOrder.errors, filled,
  pages: [first, all].map(({ edges }) => edges.map(({ node }) => node.clientOrderId)),
  codes: { badId: await code(`{ order(id: "nonsense") { id } }`), syntax: await code(`{ nothing: viewer(a: 1) { id } }`) },
  warnings,
  answered: [...new Set(answered)],
});
process.exit();
