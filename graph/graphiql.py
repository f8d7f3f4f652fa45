import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from os import PathLike, stat_result
from pathlib import Path

from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static" / "graphiql"
MOUNTED_AT = "/graphiql"
STYLES = ("graphiql.min.css", "explorer.css", "tradegraph.css")
# In this order: each finds the ones before it as globals.
SCRIPTS = (
    "react.production.min.js",
    "react-dom.production.min.js",
    "graphiql.min.js",
    "explorer.umd.js",
    "graphql-ws.min.js",
    "tradegraph.js",
)


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


def response(
    endpoint: str = "/graphql", subscriptions: str | None = None, examples: Sequence[Example] = EXAMPLES
) -> HTMLResponse:
    """Answer with the page, under a policy that lets it load from and talk to this host only.

    Takes what `page` takes. The answer varies by `Accept`, because the endpoint's own path may serve it.
    """
    nonce = secrets.token_urlsafe(16)
    return HTMLResponse(
        page(endpoint, subscriptions, examples, nonce=nonce),
        headers={
            "Content-Security-Policy": _policy(nonce),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",  # a nonce serves once
            "Vary": "Accept",
        },
    )


def page(
    endpoint: str = "/graphql",
    subscriptions: str | None = None,
    examples: Sequence[Example] = EXAMPLES,
    *,
    nonce: str = "",
) -> str:
    """Write the HTML of GraphiQL; everything that it loads comes from `routes`.

    Args:
        endpoint: The path on this host that takes GraphQL by POST.
        subscriptions: The path of the websocket (graphql-transport-ws); the endpoint's when None.
        examples: The tabs of a first visit; afterwards the browser keeps the visitor's own.
        nonce: That of the style policy which the page is sent with.
    """
    settings = {
        "endpoint": endpoint,
        "subscriptions": subscriptions,
        "nonce": nonce,
        "examples": [asdict(example) for example in examples],
    }
    styles = "\n".join(f'<link rel="stylesheet" href="{_address(name)}">' for name in STYLES)
    scripts = "\n".join(f'<script defer src="{_address(name)}"></script>' for name in SCRIPTS)
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tradegraph</title>
<link rel="icon" href="data:,">
{styles}
<script type="application/json" id="settings">{_json_in_html(settings)}</script>
{scripts}
</head>
<body>
<div id="graphiql"></div>
</body>
</html>
"""


def routes() -> list[BaseRoute]:
    """Make the routes that serve what the page loads."""
    return [Mount(MOUNTED_AT, _Assets(directory=STATIC), name="graphiql")]


class _Assets(StaticFiles):
    """The page's files: kept for a year under the address that names their content, asked for anew under any other."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        answer = super().file_response(full_path, stat_result, scope, status_code)
        known = scope["query_string"] == f"v={_version(Path(full_path).name)}".encode()
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if known else "no-cache"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer


def _policy(nonce: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{nonce}'",
            "font-src data:",  # GraphiQL's style sheet carries its fonts
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _address(name: str) -> str:
    return f"{MOUNTED_AT}/{name}?v={_version(name)}"


@cache
def _version(name: str) -> str:
    return sha256((STATIC / name).read_bytes()).hexdigest()[:16]


def _json_in_html(value: object) -> str:
    # An escaped "<" is the same JSON, and can't end the element that it stands in.
    return json.dumps(value).replace("<", "\\u003c")
