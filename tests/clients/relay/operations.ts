// What relay-compiler compiles. An application has these in its components.
import { graphql } from "relay-runtime";
import type { operations_figures$data } from "./__generated__/operations_figures.graphql.js";

graphql`
  query operationsScreenQuery($id: ID!) {
    portfolio(id: $id) {
      ...operations_figures
      ...operations_orders
    }
  }
`;

graphql`
  fragment operations_figures on Portfolio {
    id
    cash
    reservedCash
    buyingPower
  }
`;

graphql`
  fragment operations_orders on Portfolio
  @refetchable(queryName: "operationsOrdersPageQuery")
  @argumentDefinitions(count: { type: "Int", defaultValue: 2 }, cursor: { type: "String" }) {
    orders(first: $count, after: $cursor) @connection(key: "operations_orders") {
      __id
      edges {
        node {
          id
          clientOrderId
          status
        }
      }
    }
  }
`;

graphql`
  mutation operationsPlaceMutation($input: PlaceOrderInput!, $connections: [ID!]!) {
    placeOrder(input: $input) {
      order @prependNode(connections: $connections, edgeTypeName: "OrderEdge") {
        id
        clientOrderId
        status
        portfolio {
          ...operations_figures
        }
      }
      errors {
        code
        message
      }
    }
  }
`;

graphql`
  subscription operationsOrderEventsSubscription($after: String) {
    orderEvents(after: $after) {
      cursor
      order {
        id
        status
        portfolio {
          ...operations_figures
        }
      }
    }
  }
`;

export type Figures = operations_figures$data;
export const cash: Figures["cash"] = "100000.00";
// @ts-expect-error A Decimal is a string: a number would round it.
export const rounded: Figures["cash"] = 100000;
