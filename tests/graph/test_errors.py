import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from graph.base import global_id
from graph.wire.lasting import settle
from infrastructure.database import DatabaseUnavailable, OutcomeUnknown
from infrastructure.services import Services
from models.cursors import CursorExpired
from models.errors import BadRequest, Throttled, Unauthenticated
from resolvers.context import Context
from tests.support.market import Market, Trader
from tests.support.people import anonymous
from tests.support.wire import Client, executed

CREATE = """mutation ($input: CreatePortfolioInput!) { createPortfolio(input: $input) {
  portfolio { name } cursor errors { __typename code message path }
} }"""
PLACE = """mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } cursor errors {
  __typename code message path
  ... on ConflictError { order { id clientOrderId } }
  ... on RiskCheckError { checks { kind passed threshold projected } }
  ... on InsufficientFundsError { required available }
} } }"""

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    capture = LogCapture()
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[capture])
    yield capture.entries
    structlog.configure(processors=before)


@pytest.fixture
async def trader(services: Services) -> Trader:
    await Market.open(services)
    return await Trader.with_cash(services)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, name: str = "create_portfolio") -> None:
    async def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(f"resolvers.portfolios.commands.{name}", fail)


async def create(ctx: Context) -> Any:
    return await executed(ctx, CREATE, {"input": {"name": "Main"}})


async def the_error(ctx: Context, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    [error] = (await executed(ctx, query, variables)).errors
    return dict(error)


async def placed(trader: Trader, **changes: Any) -> Any:
    given = {
        "portfolioId": global_id("Portfolio", trader.portfolio_id),
        "symbol": "AAPL",
        "side": "BUY",
        "type": "LIMIT",
        "quantity": "10",
        "limitPrice": "100.00",
        **changes,
    }
    result = await executed(trader.ctx, PLACE, {"input": given})
    assert not result.errors
    assert result.data is not None
    return result.data["placeOrder"]


@pytest.mark.parametrize(
    ("error", "message", "extensions"),
    [
        (BadRequest("Not so.", "after"), "Not so.", {"code": "BAD_USER_INPUT", "argument": "after"}),
        (Throttled("Too many.", 1.5), "Too many.", {"code": "THROTTLED", "retryAfterMs": 1500}),
        (CursorExpired("Too old."), "Too old.", {"code": "CURSOR_EXPIRED"}),
        (
            DatabaseUnavailable("gone"),
            "The database can't be reached just now; nothing was written. Try again.",
            {"code": "UNAVAILABLE"},
        ),
    ],
)
async def test_error_when_it_is_known_then_it_has_its_code_and_what_helps(
    trader: Trader, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str, extensions: dict[str, Any]
) -> None:
    failing(monkeypatch, error)
    found = await the_error(trader.ctx, CREATE, {"input": {"name": "Main"}})
    assert (found["message"], found["path"], found["extensions"]) == (message, ["createPortfolio"], extensions)


async def test_error_when_it_is_ours_then_it_is_masked_and_logged_under_one_id(
    trader: Trader, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    failing(monkeypatch, RuntimeError("the password is hunter2"))
    found = await the_error(trader.ctx, CREATE, {"input": {"name": "Main"}})
    assert found["message"] == "Internal error"
    assert found["extensions"] == {"code": "INTERNAL", "correlationId": logged[0]["correlation_id"]}
    assert "hunter2" not in str(found)
    [entry] = logged
    assert (entry["log_level"], entry["event"], str(entry["exc_info"])) == (
        "error",
        "internal error",
        "the password is hunter2",
    )


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("{", None, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", None, "GRAPHQL_VALIDATION_FAILED"),
        ("query ($id: ID!) { viewer { id } }", {"id": "x"}, "GRAPHQL_VALIDATION_FAILED"),
        ("query ($id: ID!) { order(id: $id) { id } }", {}, "BAD_USER_INPUT"),
        ("query ($n: Int) { orders(first: $n) { totalCount } }", {"n": "one"}, "BAD_USER_INPUT"),
        ('{ orders(filter: { placedFrom: "today" }) { totalCount } }', None, "BAD_USER_INPUT"),
        ('{ order(id: "x") { id } }', None, "BAD_USER_INPUT"),
        ("{ orders(first: -1) { totalCount } }", None, "BAD_USER_INPUT"),
        ("{ orders(first: 101) { edges { cursor } } }", None, "BAD_USER_INPUT"),
        ('{ orders(after: "x") { edges { cursor } } }', None, "BAD_USER_INPUT"),
        ('{ events(filter: { aggregateType: "Horse" }) { edges { cursor } } }', None, "BAD_USER_INPUT"),
    ],
)
async def test_error_when_the_request_is_wrong_then_its_code_says_in_which_way(
    trader: Trader, query: str, variables: dict[str, Any] | None, code: str
) -> None:
    assert (await the_error(trader.ctx, query, variables))["extensions"]["code"] == code


async def test_decimal_in_the_input_when_it_is_a_json_number_then_the_message_says_what_to_send(trader: Trader) -> None:
    found = await the_error(trader.ctx, CREATE, {"input": {"name": "Main", "initialCash": 10.5}})
    assert found["extensions"] == {"code": "BAD_USER_INPUT", "argument": "input.initialCash"}
    assert 'A Decimal has to be a string, like "10.50"' in found["message"]


async def test_query_when_nobody_is_signed_in_then_what_needs_somebody_says_so(services: Services) -> None:
    found = await the_error(anonymous(services), "{ orders { totalCount } }")
    assert found["extensions"] == {"code": "UNAUTHENTICATED", "reason": "MISSING"}


async def test_mutation_when_nobody_is_signed_in_then_it_is_refused_in_its_payload(services: Services) -> None:
    result = await create(anonymous(services))
    assert not result.errors
    [error] = result.data["createPortfolio"]["errors"]
    assert (error["__typename"], error["code"], error["path"]) == ("RequestError", "UNAUTHENTICATED", [])


async def test_mutation_when_the_session_is_found_ended_then_it_is_refused_in_its_payload(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, Unauthenticated("Ended.", "REVOKED"))
    result = await create(trader.ctx)
    assert result.data["createPortfolio"]["errors"] == [
        {"__typename": "RequestError", "code": "UNAUTHENTICATED", "message": "Ended.", "path": []}
    ]


async def test_mutation_when_its_outcome_is_unknown_then_it_names_the_key_to_ask_again_with(
    trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, OutcomeUnknown("lost"), "deposit_cash")
    deposit = "mutation ($input: CashInput!) { depositCash(input: $input) { errors { __typename code message } } }"
    portfolio_id = global_id("Portfolio", trader.portfolio_id)
    given = {"portfolioId": portfolio_id, "amount": "1", "idempotencyKey": "pay-1"}
    keyed = await executed(trader.ctx, deposit, {"input": given})
    bare = await executed(trader.ctx, deposit, {"input": {"portfolioId": portfolio_id, "amount": "1"}})
    assert keyed.data == {
        "depositCash": {
            "errors": [
                {
                    "__typename": "RequestError",
                    "code": "OUTCOME_UNKNOWN",
                    "message": "It is not known whether this was done. Ask again with idempotencyKey 'pay-1': "
                    "it is never done twice.",
                }
            ]
        }
    }
    assert bare.data is not None
    [error] = bare.data["depositCash"]["errors"]
    assert error["message"] == "It is not known whether this was done: look before you ask again."


async def test_mutation_when_an_input_is_wrong_then_the_payload_leads_to_it(trader: Trader) -> None:
    payload = await placed(trader, quantity="0.5", limitPrice="100.001")
    assert payload["order"] is None
    assert payload["cursor"] is None
    assert {(e["__typename"], e["code"], tuple(e["path"])) for e in payload["errors"]} == {
        ("InputError", "INVALID_INPUT", ("input", "quantity")),
        ("InputError", "INVALID_INPUT", ("input", "limitPrice")),
    }


async def test_mutation_when_an_id_is_of_another_type_then_the_payload_leads_to_it(trader: Trader) -> None:
    payload = await placed(trader, portfolioId=global_id("Order", trader.portfolio_id))
    assert payload["errors"] == [
        {
            "__typename": "InputError",
            "code": "INVALID_INPUT",
            "message": "`portfolioId` is no id of a Portfolio.",
            "path": ["input", "portfolioId"],
        }
    ]


async def test_mutation_when_the_key_has_another_body_then_the_payload_has_the_order_that_stands(
    trader: Trader,
) -> None:
    first = await placed(trader, clientOrderId="one")
    second = await placed(trader, clientOrderId="one", quantity="11")
    assert first["errors"] == []
    [error] = second["errors"]
    assert (error["__typename"], error["code"]) == ("ConflictError", "CONFLICT")
    assert error["order"] == {"id": first["order"]["id"], "clientOrderId": "one"}


async def test_mutation_when_there_is_not_enough_cash_then_the_payload_says_how_much_there_is(trader: Trader) -> None:
    [error] = (await placed(trader, quantity="1000"))["errors"]
    assert (error["__typename"], error["code"]) == ("InsufficientFundsError", "INSUFFICIENT_FUNDS")
    assert (error["required"], error["available"]) == ("100100", "100000")


async def test_mutation_when_a_check_fails_then_the_payload_has_every_check(trader: Trader) -> None:
    limit = """mutation ($input: SetRiskLimitInput!) { setRiskLimit(input: $input) { errors { message } } }"""
    given = {"portfolioId": global_id("Portfolio", trader.portfolio_id), "kind": "MAX_ORDER_NOTIONAL", "threshold": "5"}
    await executed(trader.ctx, limit, {"input": given})
    [error] = (await placed(trader))["errors"]
    assert (error["__typename"], error["code"]) == ("RiskCheckError", "RISK_LIMIT_EXCEEDED")
    assert {check["kind"]: check["passed"] for check in error["checks"]} == {
        "TRADING_STATE": True,
        "REDUCE_ONLY": True,
        "MARKET_HOURS": True,
        "PRICE_COLLAR": True,
        "SHORT_SELLING": True,
        "BUYING_POWER": True,
        "MAX_OPEN_ORDERS": True,
        "MAX_ORDER_NOTIONAL": False,
    }


async def test_mutation_when_it_fails_after_its_caller_left_then_that_is_logged(
    trader: Trader, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def broken(*_args: Any) -> Any:
        begun.set()
        await go_on.wait()
        raise RuntimeError("broken")

    monkeypatch.setattr("resolvers.portfolios.commands.create_portfolio", broken)
    asking = asyncio.create_task(create(trader.ctx))
    await begun.wait()
    asking.cancel()
    await asyncio.wait([asking])
    go_on.set()
    await settle()
    assert [entry["event"] for entry in logged] == ["internal error"]


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("query($symbol: String!) { instrument(symbol: $symbol) { symbol } }", {"symbol": "A\0"}),
        ('{ instrument(symbol: "A\\u0000") { symbol } }', {}),
        ('{ instrument(symbol: "A\\u{00}") { symbol } }', {}),
        ("query($of: InstrumentFilter) { instruments(filter: $of) { edges { cursor } } }", {"of": {"symbols": ["\0"]}}),
    ],
)
async def test_request_when_a_text_has_a_nul_then_it_is_bad_input_wherever_it_stands(
    client: Client, query: str, variables: dict[str, Any]
) -> None:
    answer = await client.execute(query, variables)
    [error] = answer["errors"]
    assert (error["message"], error["extensions"]["code"]) == (
        "A text can't have the character NUL in it.",
        "BAD_USER_INPUT",
    )
