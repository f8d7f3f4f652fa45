// graphql-sse (distinct connections): the same resuming over HTTP, by `after` and by the header Last-Event-ID.
import { createClient } from "graphql-sse";
import { order, PLACE_ORDER, post, say, signIn, told, until, url } from "./support.mjs";

const { token, portfolioId } = await signIn();
const place = (key) => post(PLACE_ORDER, { input: order(portfolioId, key) }, token);
const { streamCursor } = await post("{ streamCursor }", {}, token);
const query = `subscription ($after: String) { orderEvents(after: $after) { cursor previousCursor type order { clientOrderId } } }`;

function follow(headers, variables, seen) {
  const events = [];
  let connections = 0;
  const client = createClient({
    url,
    singleConnection: false,
    retryAttempts: Infinity,
    retry: () => new Promise((resolve) => setTimeout(resolve, 500 + 1000 * Math.random())), // else twice as long each time
    headers: () => ((connections += 1), { Authorization: `Bearer ${token}`, ...headers() }),
  });
  client.subscribe({ query, variables }, {
    next: ({ data }) => (events.push(data.orderEvents), seen(data.orderEvents.cursor)),
    error: (error) => { throw error; },
    complete: () => {},
  });
  return { events, connections: () => connections };
}

const variables = { after: streamCursor };
const byAfter = follow(() => ({}), variables, (cursor) => (variables.after = cursor));
let last = streamCursor;
const byHeader = follow(() => ({ "Last-Event-ID": last }), {}, (cursor) => (last = cursor));

const once = createClient({ url, headers: { Authorization: `Bearer ${token}` } });
const answers = [];
for await (const answer of once.iterate({ query: "{ viewer { firstName } }" })) answers.push(answer);
const codes = [];
for await (const answer of once.iterate({ query: "{ viewer {" })) codes.push(answer.errors[0].extensions.code);
const stranger = createClient({ url, retryAttempts: 0, headers: { Authorization: "Bearer stale" } });
const refused = await stranger.iterate({ query }).next().catch((error) => error.response?.status);

await place("one");
await until(() => byAfter.events.length === 2 && byHeader.events.length === 2);
say({ answers, codes, refused });
await told(); // the server has been killed, and is back
await place("two");
await until(() => byAfter.events.length >= 4 && byHeader.events.length >= 4);
say({ byAfter: byAfter.events, byHeader: byHeader.events, connections: [byAfter.connections(), byHeader.connections()] });
process.exit();
