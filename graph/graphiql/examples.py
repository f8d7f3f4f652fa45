"""The tabs of a first visit."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One operation that a first visitor finds in a tab of its own; `variables` is the JSON shown below it."""

    query: str
    variables: str = ""


EXAMPLES: Sequence[Example] = (
    Example("""\
# 1. Sign in as the demo account.
# This page's other tabs then use the access token,
# unless their own headers name another:
# {"Authorization": "Bearer ..."}
mutation Login {
  login(input: {
    email: "demo@tradegraph.dev"
    password: "demo-password"
  }) {
    accessToken
    user { email }
    errors { code message }
  }
}
"""),
    Example("""\
# 2. What the account holds.
# The third tab needs a portfolio's id from here.
query Portfolios {
  viewer {
    portfolios(first: 10) {
      edges {
        node {
          id
          name
          baseCurrency
          cash
          reservedCash
          buyingPower
          valuation {
            totalValue
            unrealizedPnl
            realizedPnl
            stale
          }
          positions(first: 20) {
            edges {
              node {
                instrument { symbol }
                quantity
                averagePrice
                marketValue
                unrealizedPnl
              }
            }
          }
        }
      }
    }
  }
}
"""),
    Example(
        """\
# 3. Buy. Put a portfolio's id from the second tab
# into the variables below. A refusal is an answer:
# it stands in `errors`, and nothing was written.
mutation PlaceOrder($input: PlaceOrderInput!) {
  placeOrder(input: $input) {
    order {
      id
      status
      quantity
      filledQuantity
      averageFillPrice
      commission
    }
    errors { __typename code message path }
  }
}
""",
        """\
{
  "input": {
    "portfolioId": "",
    "symbol": "AAPL",
    "side": "BUY",
    "type": "MARKET",
    "quantity": "10"
  }
}
""",
    ),
    Example("""\
# 4. Start this, then place an order in another
# window: each change of a position arrives here.
# To go on after a break, give the last cursor:
# positionEvents(after: "...")
subscription PositionEvents {
  positionEvents {
    cursor
    previousCursor
    type
    position {
      instrument { symbol }
      quantity
      averagePrice
    }
  }
}
"""),
)
