// Apollo Client: its normalised cache, pages, subscriptions, error codes and a retry of what was THROTTLED.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { RetryLink } from "@apollo/client/link/retry";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { createClient } from "graphql-ws";
import { map } from "rxjs";
import WebSocket from "ws";
import { order, say, signIn, socketUrl, until, url } from "./support.mjs";

const { token, portfolioId } = await signIn();
const requests = [];
const count = new ApolloLink((operation, forward) => (requests.push(operation.operationName), forward(operation)));

// THROTTLED was not executed, so it may be sent again, a mutation too; the answer says when.
const throttled = ({ errors } = {}) => errors?.find((error) => error.extensions?.code === "THROTTLED");
const retry = new RetryLink({
  attempts: (tries, _operation, error) => tries < 5 && CombinedGraphQLErrors.is(error) && Boolean(throttled(error)),
  delay: (_tries, _operation, error) => throttled(error).extensions.retryAfterMs,
});
const raise = new ApolloLink((operation, forward) =>
  forward(operation).pipe(map((result) => {
    if (throttled(result)) throw new CombinedGraphQLErrors(result);
    return result;
  })));

const socket = createClient({
  url: socketUrl, webSocketImpl: WebSocket, connectionParams: () => ({ Authorization: `Bearer ${token}` }) });
const http = new HttpLink({ uri: url, headers: { Authorization: `Bearer ${token}` } });
const client = new ApolloClient({
  cache: new InMemoryCache({
    typePolicies: {
      Portfolio: { fields: { orders: relayStylePagination(["filter", "orderBy"]) } },
      Quote: { keyFields: ["symbol"] }, // so that a subscription's quotes are those that queries show
      Valuation: { merge: false }, // figures of one moment: never mixed with those of another
    },
  }),
  link: ApolloLink.from([retry, raise, count, ApolloLink.split(
    ({ operationType }) => operationType === "subscription", new GraphQLWsLink(socket), http)]),
});

// What a screen shows: the figures of a portfolio and its orders.
const FIGURES = gql`fragment Figures on Portfolio { id cash reservedCash buyingPower }`;
const LINE = gql`fragment Line on Order { id clientOrderId status filledQuantity version }`;
const SCREEN = gql`
  query Screen($id: ID!, $after: String) {
    portfolio(id: $id) {
      ...Figures
      orders(first: 2, after: $after) {
        edges { cursor node { ...Line } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }
  }
  ${FIGURES} ${LINE}`;
// The payload's order leads to its portfolio: the figures that the order has changed come with the answer.
const PLACE = gql`
  mutation Place($input: PlaceOrderInput!) {
    placeOrder(input: $input) { order { ...Line portfolio { ...Figures } } errors { code message path } }
  }
  ${FIGURES} ${LINE}`;

let screen;
const watched = client.watchQuery({ query: SCREEN, variables: { id: portfolioId } });
watched.subscribe(({ data }) => (screen = data?.portfolio));
const lines = () => screen.orders.edges.map(({ node }) => `${node.clientOrderId} ${node.status}`);

// An order is new in a list when the application says so: put it on top of the list that is shown.
function onTop(cache, { data: { placeOrder } }) {
  if (!placeOrder.order) return;
  cache.modify({
    id: cache.identify({ __typename: "Portfolio", id: portfolioId }),
    fields: {
      orders: (shown, { toReference }) => ({
        ...shown,
        edges: [{ __typename: "OrderEdge", cursor: "", node: toReference(placeOrder.order) }, ...shown.edges],
      }),
    },
  });
}
const place = (key, more) =>
  client.mutate({ mutation: PLACE, variables: { input: order(portfolioId, key, more) }, update: onTop });

await until(() => screen);
const before = screen;
const asked = requests.length;
const placed = await place("limit", { type: "LIMIT", limitPrice: "1", quantity: "10" });
await until(() => screen.orders.edges.length === 1);
const after = { reservedCash: screen.reservedCash, buyingPower: screen.buyingPower, lines: lines(), requests: requests.slice(asked) };

// Refused: nothing is written, and nothing on the screen moves.
const refused = await place("large", { quantity: "1000000" });

// The second order in the window is THROTTLED: the link waits and sends it again. Events change what is shown.
client.subscribe({
  query: gql`subscription { orderEvents { cursor order { ...Line portfolio { ...Figures } } } } ${FIGURES} ${LINE}`,
}).subscribe(() => {});
const sent = requests.length;
await place("market");
await until(() => lines()[0] === "market FILLED" && screen.cash !== before.cash);
const filled = { lines: lines(), cash: screen.cash, tries: requests.slice(sent).filter((name) => name === "Place").length };

// Pages: what was shown stays, the next page is joined to it.
await place("third", { type: "LIMIT", limitPrice: "1" });
const paged = new InMemoryCache({ typePolicies: { Portfolio: { fields: { orders: relayStylePagination() } } } });
const reader = new ApolloClient({ cache: paged, link: http });
const pages = reader.watchQuery({ query: SCREEN, variables: { id: portfolioId } });
let page;
pages.subscribe(({ data }) => (page = data?.portfolio?.orders));
await until(() => page?.edges.length === 2);
await pages.fetchMore({ variables: { after: page.pageInfo.endCursor } });
await until(() => page.edges.length === 3);
const all = { keys: page.edges.map(({ node }) => node.clientOrderId), more: page.pageInfo.hasNextPage };

// A quote that is shown moves with the subscription.
const last = new Set();
client.watchQuery({ query: gql`{ instrument(symbol: "AAPL") { id quote { symbol last asOf } } }` })
  .subscribe(({ data }) => data?.instrument && last.add(data.instrument.quote.asOf));
client.subscribe({ query: gql`subscription { quotes(symbols: ["AAPL"], everyMs: 100) { symbol last asOf } }` }).subscribe(() => {});
await until(() => last.size >= 2);

// What is wrong with a request is an error with a code, whatever the HTTP status.
const code = async (client, query) => {
  const { error } = await client.query({ query: gql(query), errorPolicy: "all", fetchPolicy: "no-cache" }).catch((error) => ({ error }));
  return [CombinedGraphQLErrors.is(error), error.errors?.[0].extensions.code, error.errors?.[0].extensions.reason];
};
const stranger = new ApolloClient({ cache: new InMemoryCache(), link: new HttpLink({ uri: url, headers: { Authorization: "Bearer stale" } }) });
const codes = {
  badId: await code(client, `{ order(id: "nonsense") { id } }`),
  invalid: await code(client, `{ nothing }`),
  stale: await code(stranger, `{ viewer { id } }`),
};

say({
  before: { cash: before.cash, reservedCash: before.reservedCash, buyingPower: before.buyingPower, orders: before.orders.edges.length },
  placed: placed.data.placeOrder, after, refused: refused.data.placeOrder, filled, all, codes,
});
process.exit();
