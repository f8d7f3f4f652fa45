// graphql-ws on Node as its documentation has it, with the same questions about itself as `fanout_server.py`.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { GraphQLInt, GraphQLObjectType, GraphQLSchema, GraphQLString } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const readers = new Set();

class Latest {
  waiting = null;
  kept = [];
  next() {
    if (this.kept.length) return Promise.resolve({ value: this.kept.shift(), done: false });
    return new Promise((resolve) => (this.waiting = resolve));
  }
  push(value) {
    if (this.waiting === null) return this.kept.push(value);
    const resolve = this.waiting;
    this.waiting = null;
    resolve({ value, done: false });
  }
  return() {
    readers.delete(this);
    return Promise.resolve({ value: undefined, done: true });
  }
  [Symbol.asyncIterator]() {
    return this;
  }
}

function follow() {
  const latest = new Latest();
  readers.add(latest);
  return latest;
}

const strings = (...names) => Object.fromEntries(names.map((name) => [name, { type: GraphQLString }]));
const Quote = new GraphQLObjectType({ name: "Quote", fields: strings("symbol", "bid", "ask", "last") });
const schema = new GraphQLSchema({
  query: new GraphQLObjectType({ name: "Query", fields: { version: { type: GraphQLInt } } }),
  subscription: new GraphQLObjectType({ name: "Subscription", fields: { quotes: { type: Quote, subscribe: follow } } }),
});

async function go(rounds) {
  const told = [];
  for (let round = 0; round < rounds; round++) {
    told.push([Number(process.hrtime.bigint()) / 1e9]);
    for (const reader of readers) reader.push({ quotes: { symbol: "AAPL", bid: `${100 + round}`, ask: "100.02", last: "1" } });
    await new Promise((resolve) => setImmediate(resolve));
  }
  return told;
}

function ownMemory() {
  return Number(/RssAnon:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
}

const http = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  const { user, system } = process.cpuUsage();
  const answers = {
    "/tokens": () => Array(Number(url.searchParams.get("count"))).fill(""),
    "/go": () => go(Number(url.searchParams.get("rounds"))),
    "/usage": () => ({ cpu_s: (user + system) / 1e6, memory: ownMemory() }),
  };
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(await answers[url.pathname]()));
});
useServer({ schema }, new WebSocketServer({ server: http, path: "/graphql", perMessageDeflate: false }));
http.listen(0, "127.0.0.1", 4096, () => console.log(http.address().port));
process.on("SIGTERM", () => process.exit(0));
