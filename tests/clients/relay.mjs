// Relay's runtime with what relay-compiler made of relay/operations.ts: the store, pages, a connection's updates.
import runtime from "relay-runtime";
import { createClient } from "graphql-ws";
import { createRequire } from "node:module";
import WebSocket from "ws";
import { order, post, say, signIn, socketUrl, until } from "./support.mjs";

const {
  commitMutation, createOperationDescriptor, Environment, fetchQuery, getPaginationMetadata, getPaginationVariables,
  getSingularSelector, Network, Observable, RecordSource, requestSubscription, Store,
} = runtime;
const artifact = (name) => createRequire(import.meta.url)(`./relay/built/__generated__/operations${name}.graphql.js`).default;
const [Screen, Figures, Orders] = [artifact("ScreenQuery"), artifact("_figures"), artifact("_orders")];

const { token, portfolioId } = await signIn();
const requests = [];
const socket = createClient({
  url: socketUrl, webSocketImpl: WebSocket, connectionParams: () => ({ Authorization: `Bearer ${token}` }) });
const environment = new Environment({
  network: Network.create(
    async ({ name, text }, variables) => {
      requests.push(name);
      return { data: await post(text, variables, token) };
    },
    ({ name, text }, variables) =>
      Observable.create((sink) => socket.subscribe({ operationName: name, query: text, variables }, sink)),
  ),
  store: new Store(new RecordSource()),
});

// What a component of the screen reads, and is told of.
const operation = createOperationDescriptor(Screen, { id: portfolioId });
environment.retain(operation);
await fetchQuery(environment, Screen, { id: portfolioId }).toPromise();
const { portfolio } = environment.lookup(operation.fragment).data;
const read = (fragment) => environment.lookup(getSingularSelector(fragment, portfolio));
let told = 0;
environment.subscribe(read(Figures), () => (told += 1));
const figures = () => read(Figures).data;
const lines = () => read(Orders).data.orders.edges.map(({ node }) => `${node.clientOrderId} ${node.status}`);
const before = { ...figures(), lines: lines() };

const place = (key, more) =>
  new Promise((resolve, reject) =>
    commitMutation(environment, {
      mutation: artifact("PlaceMutation"),
      variables: { input: order(portfolioId, key, more), connections: [read(Orders).data.orders.__id] },
      onCompleted: resolve,
      onError: reject,
    }));

const asked = requests.length;
const placed = await place("limit", { type: "LIMIT", limitPrice: "1", quantity: "10" });
const after = { ...figures(), lines: lines(), told, requests: requests.slice(asked) };
const refused = await place("large", { quantity: "1000000" });

requestSubscription(environment, { subscription: artifact("OrderEventsSubscription"), variables: {} });
await place("market");
await until(() => lines()[0] === "market FILLED" && Number(figures().cash) < 100000);
const filled = lines();

// What usePaginationFragment does: the fragment's own query, by node(id), for the page behind the last cursor.
const fresh = new Environment({ network: environment.getNetwork(), store: new Store(new RecordSource()) });
await place("third", { type: "LIMIT", limitPrice: "1" });
fresh.retain(operation);
await fetchQuery(fresh, Screen, { id: portfolioId }).toPromise();
const root = fresh.lookup(operation.fragment).data.portfolio;
const orders = () => fresh.lookup(getSingularSelector(Orders, root)).data.orders;
const keys = () => orders().edges.map(({ node }) => node.clientOrderId);
const { paginationRequest, paginationMetadata } = getPaginationMetadata(Orders, "usePaginationFragment()");
const first = keys();
const variables = getPaginationVariables("forward", 2, orders().pageInfo.endCursor, {}, {}, paginationMetadata);
await fetchQuery(fresh, paginationRequest, { ...variables, id: portfolioId }).toPromise();

say({
  before, placed: placed.placeOrder, after, refused: refused.placeOrder.errors, filled,
  pages: [first, keys()], more: orders().pageInfo.hasNextPage, refetched: requests.at(-1),
});
process.exit();
