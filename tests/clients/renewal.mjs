// graphql-ws: the socket outlives its access token, which is renewed by the payload of a ping.
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { order, PLACE_ORDER, post, refreshed, say, signIn, socketUrl, until } from "./support.mjs";

const { token, refreshToken, portfolioId } = await signIn();
let socket, sockets = 0, renewedUntil, ended = null;
const client = createClient({
  url: socketUrl,
  webSocketImpl: WebSocket,
  connectionParams: () => ({ Authorization: `Bearer ${token}` }),
  on: {
    connected: (opened) => ((socket = opened), (sockets += 1)),
    pong: (received, payload) => received && (renewedUntil = payload?.expiresAt),
  },
});

const events = [];
client.subscribe(
  { query: "subscription { orderEvents { type } }" },
  { next: ({ data }) => events.push(data.orderEvents.type), error: (error) => (ended = error), complete: () => (ended = "complete") },
);
await until(() => socket);
const { iat, exp } = JSON.parse(atob(token.split(".")[1]));
const endsAt = exp * 1000;

await until(() => Date.now() > (iat + exp) * 500); // half of its time is over
const renewed = await refreshed(refreshToken);
socket.send(JSON.stringify({ type: "ping", payload: { Authorization: `Bearer ${renewed}` } }));
await until(() => renewedUntil || ended);

await until(() => Date.now() > endsAt + 500 || ended);
await post(PLACE_ORDER, { input: order(portfolioId, "late") }, renewed);
await until(() => events.length === 2 || ended);
const before = { events: [...events], sockets };

// Nobody renews it again: the socket is closed with a code that graphql-ws does not try again by itself.
await until(() => ended);
say({ ...before, renewedUntil, endsAt, code: ended.code, reason: ended.reason });
process.exit();
