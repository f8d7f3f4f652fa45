// @graphql-eslint's rules for schemas and for Relay, over schema.graphql: all of them, but for what is said here.
import graphql from "@graphql-eslint/eslint-plugin";

export default [
  {
    files: ["**/*.graphql"],
    plugins: { "@graphql-eslint": graphql },
    languageOptions: { parser: graphql.parser, parserOptions: { graphQLConfig: { schema: "./schema.graphql" } } },
    rules: {
      ...graphql.configs["flat/schema-recommended"].rules,
      ...graphql.configs["flat/schema-relay"].rules,
      // An object with an identity is a Node. These have none: they are part of another, or of one answer, and caches
      // are to keep them there. A new type that is none of these has to have an id.
      "@graphql-eslint/strict-id-in-types": [
        "error",
        {
          exceptions: {
            suffixes: ["Connection", "Edge", "Payload", "Error"],
            types: [
              "CacheStatistics", "CachedKind", "Candle", "HeldPosition", "MarketClock", "OrderEvent", "OrderPreview",
              "PageInfo", "PortfolioSnapshot", "PositionEvent", "PositionSnapshot", "Quote", "RateLimitStatus",
              "RiskCheck", "RiskEvent", "Sentiment", "StreamHeartbeat", "TargetAllocation", "TradeSummary",
              "TradingStatus", "UserPreferences", "Valuation",
            ],
          },
        },
      ],
      // A list that grows is a connection. Short ones (errors of a payload, scopes, the lines of a page's own answer)
      // are plain lists, as in the API's contract; the rule's other parts hold.
      "@graphql-eslint/relay-edge-types": ["error", { listTypeCanWrapOnlyEdgeType: false }],
    },
  },
];
