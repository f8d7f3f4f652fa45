// What the programs here have in common: plain operations, the demo's sign-in, and how they talk to the test.
import { createInterface } from "node:readline";

export const url = process.argv[2];
export const socketUrl = url.replace("http", "ws");

export async function post(query, variables = {}, token = undefined) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}

// An access token, its refresh token and a new portfolio with cash and nothing else.
export async function signIn() {
  const { register } = await post(
    `mutation ($input: RegisterInput!) { register(input: $input) { accessToken refreshToken errors { message } } }`,
    { input: { email: `${crypto.randomUUID()}@example.com`, password: "correct horse", firstName: "Ada", lastName: "L" } },
  );
  const token = register.accessToken;
  const { createPortfolio } = await post(
    `mutation { createPortfolio(input: { name: "Main", initialCash: "100000" }) { portfolio { id } } }`, {}, token);
  return { token, refreshToken: register.refreshToken, portfolioId: createPortfolio.portfolio.id };
}

export async function refreshed(refreshToken) {
  const { refreshToken: answer } = await post(
    `mutation ($input: RefreshTokenInput!) { refreshToken(input: $input) { accessToken } }`, { input: { refreshToken } });
  return answer.accessToken;
}

// An order that the market takes at once, and that no other has the key of.
export function order(portfolioId, clientOrderId, more = {}) {
  return { portfolioId, symbol: "AAPL", side: "BUY", type: "MARKET", quantity: "1", clientOrderId, ...more };
}

export const PLACE_ORDER = `mutation ($input: PlaceOrderInput!) {
  placeOrder(input: $input) { order { id status } cursor errors { code message } }
}`;

export const say = (value) => console.log(JSON.stringify(value));

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
export const told = () => lines.next();

export async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
