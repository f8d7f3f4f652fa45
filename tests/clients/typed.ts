// Typed operations by graphql-codegen: `tsc --strict` compiles this, then it runs. What must not compile says so.
import { graphql } from "./generated/gql/index.js";
import type { TypedDocumentString } from "./generated/gql/graphql.js";

declare const process: { argv: string[]; exit(): void };
const url = process.argv[2] ?? "";

export async function execute<Data, Variables>(
  document: TypedDocumentString<Data, Variables>,
  ...[variables, token]: Variables extends Record<string, never> ? [undefined?, string?] : [Variables, string?]
): Promise<Data> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) },
    body: JSON.stringify({ query: document, variables }),
  });
  const { data, errors } = (await response.json()) as { data: Data; errors?: { message: string }[] };
  if (errors) throw new Error(errors[0]?.message);
  return data;
}

const Login = graphql(`
  mutation Login($input: LoginInput!) {
    login(input: $input) { accessToken errors { code message } }
  }
`);

const Portfolios = graphql(`
  query Portfolios {
    viewer {
      portfolios(first: 5) {
        edges { node { id cash valuation { totalValue asOf } } }
      }
    }
  }
`);

const Place = graphql(`
  mutation Place($input: PlaceOrderInput!) {
    placeOrder(input: $input) {
      order { id status side quantity averageFillPrice }
      errors {
        __typename
        code
        message
        ... on InsufficientFundsError { required available }
        ... on RiskCheckError { checks { kind passed } }
      }
    }
  }
`);

const { login } = await execute(Login, { input: { email: "demo@tradegraph.dev", password: "demo-password" } });
const token = login.accessToken ?? "";
const { viewer } = await execute(Portfolios, undefined, token);
const portfolio = viewer?.portfolios.edges[0]?.node;
if (!portfolio) throw new Error("the demo has a portfolio");

const cash: string = portfolio.cash;
// @ts-expect-error A Decimal is a string: a number would round it.
const rounded: number = portfolio.cash;
// @ts-expect-error Null where a price is missing: that has to be looked at.
const total: string = portfolio.valuation.totalValue;

const input = { portfolioId: portfolio.id, symbol: "AAPL", side: "BUY", type: "MARKET" } as const;
export function doesNotCompile() {
  // @ts-expect-error A quantity is a string, too.
  void execute(Place, { input: { ...input, quantity: 1 } }, token);
  // @ts-expect-error There is no such side.
  void execute(Place, { input: { ...input, quantity: "1", side: "HOLD" } }, token);
  // @ts-expect-error The input has to be given.
  void execute(Place, {}, token);
}

const { placeOrder } = await execute(Place, { input: { ...input, quantity: "1000000" } }, token);
const [error] = placeOrder.errors;
const short = error?.__typename === "InsufficientFundsError" ? error.required : null;
console.log(JSON.stringify({ cash, short, code: error?.code, order: placeOrder.order }));
