from typing import Any

import pytest

from graph.schema import build_schema
from graph.wire.pipeline import Pipeline
from graph.wire.requests import GraphQLRequest
from infrastructure.services import Services
from infrastructure.settings import Settings
from tests.support.people import anonymous

SCHEMA = build_schema()
ORDERS = "query ($o: OrderFilter) { orders(filter: $o) { totalCount } }"

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    ("query", "variables", "argument", "said"),
    [
        ("{ orders(filter: { side: BUYY }) { totalCount } }", None, "filter.side", "one of BUY, SELL."),
        (ORDERS, {"o": {"side": "HOLD"}}, "o.side", "It has to be one of BUY, SELL."),
        (ORDERS, {"o": {"side": 1}}, "o.side", "It has to be one of BUY, SELL."),
        ('{ orders(filter: { placedFrom: "today" }) { totalCount } }', None, "filter.placedFrom", "ISO 8601 with an"),
        (ORDERS, {"o": {"placedFrom": "today"}}, "o.placedFrom", "has to be ISO 8601 with an offset"),
        ("mutation { depositCash(input: { amount: 1.5 }) { cursor } }", None, "input.amount", "has to be a string"),
        ("{ orders(filter: { statuses: [OPEN, SHUT] }) { totalCount } }", None, "filter.statuses[1]", "one of PENDING"),
        (ORDERS, {"o": {"statuses": ["OPEN", "SHUT"]}}, "o.statuses[1]", "one of PENDING"),
        ("query ($n: Int) { orders(first: $n) { totalCount } }", {"n": "1"}, "n", "Int cannot represent"),
        ("{ node(id: true) { id } }", None, "id", "ID cannot represent"),
    ],
)
def test_value_when_it_does_not_fit_then_the_error_names_its_argument_and_what_is_allowed(
    services: Services, query: str, variables: Any, argument: str, said: str
) -> None:
    pipeline = Pipeline(SCHEMA, services.settings)
    prepared = pipeline.prepare(GraphQLRequest(query, None, variables), anonymous(services))
    assert prepared.refusal is not None
    [error] = [each for each in prepared.refusal.errors if each["extensions"].get("argument") == argument]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}
    assert said in error["message"]


LOGIN = "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }"
SECRET = "hunter2-secret"


@pytest.mark.parametrize(
    ("query", "variables", "argument", "said"),
    [
        (LOGIN, {"i": {"password": SECRET}}, "i.email", "to include required field 'email'."),
        (
            LOGIN,
            {"i": {"emaill": "a", "email": "a", "password": SECRET}},
            "i.emaill",
            "'emaill'. Did you mean 'email'?",
        ),
        (LOGIN, {"i": [SECRET]}, "i", "'LoginInput' to be an object."),
        (LOGIN, {"i": {"email": "a", "password": [SECRET]}}, "i.password", "represent a non string value."),
        (
            f'mutation {{ login(input: {{ password: "{SECRET}" }}) {{ accessToken }} }}',
            None,
            "input.email",
            "to include required field 'email'.",
        ),
        (
            f'mutation {{ login(input: {{ emaill: "a", email: "a", password: "{SECRET}" }}) {{ accessToken }} }}',
            None,
            "input.emaill",
            "'emaill'. Did you mean 'email'?",
        ),
        ("{ orders(filter: { sidee: BUY }) { totalCount } }", None, "filter.sidee", "unknown field 'sidee'"),
    ],
)
def test_object_when_it_does_not_fit_then_the_error_names_the_member_and_repeats_nothing_of_it(
    services: Services, query: str, variables: Any, argument: str, said: str
) -> None:
    pipeline = Pipeline(SCHEMA, services.settings)
    prepared = pipeline.prepare(GraphQLRequest(query, None, variables), anonymous(services))
    assert prepared.refusal is not None
    assert SECRET not in str(prepared.refusal.errors)
    [error] = [each for each in prepared.refusal.errors if each["extensions"].get("argument") == argument]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}
    assert said in error["message"]
    assert "?." not in error["message"]


def test_value_when_the_schema_is_not_for_everybody_then_what_is_allowed_is_not_said(services: Services) -> None:
    settings = Settings(env="production", secret=services.settings.secret)
    pipeline = Pipeline(SCHEMA, settings)
    prepared = pipeline.prepare(GraphQLRequest(ORDERS, None, {"o": {"side": "HOLD"}}), anonymous(services))
    assert prepared.refusal is not None
    [error] = prepared.refusal.errors
    assert (error["extensions"]["argument"], "SELL" in error["message"]) == ("o.side", False)
