// Apollo Client's automatic persisted queries: the hash first, the text once, the hash from then on.
import { createHash } from "node:crypto";
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { say, signIn, url } from "./support.mjs";

const { token } = await signIn();
const sent = [];
const persisted = new PersistedQueryLink({ sha256: (text) => createHash("sha256").update(text).digest("hex") });
const http = new HttpLink({
  uri: url,
  headers: { Authorization: `Bearer ${token}` },
  fetch: async (address, options) => {
    const response = await fetch(address, options);
    sent.push([Object.keys(JSON.parse(options.body)).includes("query"), response.status]);
    return response;
  },
});
const ask = async (client) =>
  (await client.query({ query: gql`query Name { viewer { id firstName } }`, fetchPolicy: "no-cache" })).data.viewer.firstName;
const client = new ApolloClient({ cache: new InMemoryCache(), link: ApolloLink.from([persisted, http]) });
say({ answers: [await ask(client), await ask(client)], sent });
process.exit();
