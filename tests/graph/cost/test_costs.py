"""Documents with what they cost, worked out by hand: 1 an object, 10 a command or a stream, a page what it can hold."""

from typing import Any

import pytest
from graphql import parse

from graph.cost.measuring import literals_fit
from graph.cost.prices import Prices
from graph.cost.refusals import TooComplex
from infrastructure.settings import Settings
from tests.graph.cost.measure import SCHEMA, SETTINGS, cost_of, shape_of

PLACE = (
    'placeOrder(input: {portfolioId: "p", symbol: "AAPL", side: BUY, type: MARKET, quantity: "1", clientOrderId: "c"})'
)
CANDLES = "candles(interval: ONE_DAY) { close }"
COSTS: list[tuple[int, str, dict[str, Any]]] = [
    # Objects and scalars.
    (1, "{ viewer { id } }", {}),
    (1, "{ viewer { id email firstName lastName role createdAt } }", {}),
    (1, "{ streamCursor }", {}),  # nothing, and no operation costs less than 1
    (1, "{ __typename }", {}),
    (2, "{ viewer { preferences { timezone } } }", {}),  # viewer 1, preferences 1
    (2, '{ a: instrument(symbol: "AAPL") { name } b: instrument(symbol: "MSFT") { name } }', {}),
    (3, '{ instrument(symbol: "AAPL") { quote { instrument { symbol } } } }', {}),
    (2, '{ portfolio(id: "p") { valuation { totalValue } } }', {}),
    (1, "{ rateLimit { remaining } }", {}),
    (1, "{ tradingStatus { state } }", {}),
    (2, "{ viewer { id } tradingStatus { state } }", {}),
    # Pages: the connection 1, and each item of the page.
    (51, "{ orders { edges { node { id } } } }", {}),  # 1 + 50 of a page that nobody sized
    (11, "{ orders(first: 10) { edges { node { id } } } }", {}),
    (11, "{ orders(last: 10) { edges { node { id } } } }", {}),
    (1, "{ orders(first: 10) { pageInfo { hasNextPage } totalCount } }", {}),  # no edges, no items
    (1, "{ orders(first: 0) { edges { node { id } } } }", {}),
    (1, "{ orders(first: 10) { edges { cursor } } }", {}),  # an edge weighs nothing
    (21, "{ orders(first: 10) { edges { node { instrument { symbol } } } } }", {}),  # 1 + 10 x (1 + 1)
    (31, "{ orders(first: 10) { edges { node { instrument { quote { last } } } } } }", {}),
    (101, "{ orders(first: 1000000) { edges { node { id } } } }", {}),  # a page has 100; more is refused as it is asked
    (1, "{ orders(first: -5) { edges { node { id } } } }", {}),
    (12, "{ viewer { orders(first: 10) { edges { node { id } } } } }", {}),  # viewer 1, page 1, 10 orders
    # viewer 1, page 1, 5 x (portfolio 1 + page 1 + 20 orders)
    (112, "{ viewer { portfolios(first: 5) { edges { node { orders(first: 20) { edges { node { id } } } } } } } }", {}),
    # 1 + 2 x (order 1 + (1 + 3 fills) + (1 + 4 events) + portfolio 1 + owner 1)
    (
        25,
        ("{ orders(first: 2) { edges { node { fills(first: 3) { edges { node { id } } } "
        "events(first: 4) { edges { node { id } } } portfolio { owner { id } } } } } }"),
        {},
    ),
    # Other lists.
    (1001, '{ instrument(symbol: "AAPL") { candles(interval: ONE_DAY) { close } } }', {}),
    (31, '{ instrument(symbol: "AAPL") { candles(interval: ONE_DAY, first: 30) { close } } }', {}),
    (21, '{ portfolio(id: "p") { riskLimits { kind } } }', {}),
    (101, "{ viewer { apiKeys { name } } }", {}),
    (3, '{ nodes(ids: ["a", "b", "c"]) { id } }', {}),
    (6, '{ nodes(ids: ["a", "b", "c"]) { id ... on Order { instrument { symbol } } } }', {}),  # the dearest type
    (1, '{ node(id: "a") { ... on Order { id } ... on Portfolio { id } } }', {}),
    (12, '{ node(id: "a") { ... on Portfolio { orders(first: 10) { edges { node { id } } } } } }', {}),
    # Commands and streams.
    (10, 'mutation { login(input: {email: "a", password: "b"}) { accessToken errors { code message } } }', {}),
    (11, 'mutation { login(input: {email: "a", password: "b"}) { user { email } } }', {}),
    (11, f"mutation {{ {PLACE} {{ order {{ id }} errors {{ ... on RiskCheckError {{ checks {{ kind }} }} }} }} }}", {}),
    (11, f"mutation {{ {PLACE} {{ errors {{ ... on ConflictError {{ order {{ id }} }} }} }} }}", {}),
    (20, f"mutation {{ a: {PLACE} {{ cursor }} b: {PLACE} {{ cursor }} }}", {}),
    (210, 'mutation { cancelAllOrders(input: {portfolioId: "p"}) { orders { id } } }', {}),
    (10, "subscription { events { cursor } }", {}),
    (13, "subscription { positionEvents { position { instrument { symbol } } fill { quantity } } }", {}),
    # Variables.
    (21, "query ($n: Int) { orders(first: $n) { edges { node { id } } } }", {"n": 20}),
    (51, "query ($n: Int) { orders(first: $n) { edges { node { id } } } }", {"n": None}),
    (31, "query ($n: Int = 30) { orders(first: $n) { edges { node { id } } } }", {"n": 30}),
    (4, "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a", "b", "c", "d"]}),
    (1, "query ($x: Boolean!) { viewer { id orders @include(if: $x) { edges { node { id } } } } }", {"x": False}),
    (52, "query ($x: Boolean!) { viewer { id orders @include(if: $x) { edges { node { id } } } } }", {"x": True}),
    (1, "query ($x: Boolean!) { viewer { id ... @skip(if: $x) { orders { edges { node { id } } } } } }", {"x": True}),
    # What comes together is executed once.
    (1, "{ viewer { id } viewer { email } }", {}),
    (2, "{ a: viewer { id } b: viewer { id } }", {}),
    (12, ("{ viewer { ...A ...B } } fragment A on User { orders(first: 10) { edges { node { id } } } } "
     "fragment B on User { orders(first: 10) { edges { node { status } } } }"), {}),
    (500, "{ __schema { types { name fields { name type { name ofType { name } } } } } }", {}),
    (50, '{ __type(name: "Order") { fields { name } } }', {}),
]  # fmt: skip


@pytest.mark.parametrize(("cost", "document", "variables"), COSTS)
def test_document_when_it_is_measured_then_it_costs_what_it_was_worked_out_to(
    cost: int, document: str, variables: dict[str, Any]
) -> None:
    assert cost_of(document, **variables) == cost


def test_table_when_counted_then_it_has_forty_documents_or_more() -> None:
    assert len(COSTS) >= 40


def test_settings_when_a_page_is_of_another_size_then_documents_cost_as_the_settings_say() -> None:
    settings = Settings(page_size=7, page_size_max=20, candles_max=500, max_open_orders=300)
    fields = Prices(SCHEMA._schema, settings).fields
    assert (fields["Query"]["orders"].assumed, fields["Query"]["orders"].most) == (7, 20)
    assert fields["Instrument"]["candles"].assumed == 500
    assert fields["OrdersPayload"]["orders"].assumed == 300


SAME = [
    "query { viewer { orders(first: 10) { edges { node { id instrument { symbol } } } } } }",
    "query { me: viewer { all: orders(first: 10) { items: edges { it: node { id of: instrument { symbol } } } } } }",
    "query ($n: Int!) { viewer { orders(first: $n) { edges { node { id instrument { symbol } } } } } }",
    "query ($n: Int = 10) { viewer { orders(first: $n) { edges { node { id instrument { symbol } } } } } }",
    "{ viewer { ... { orders(first: 10) { edges { ... on OrderEdge { node { ... { instrument { id } } } } } } } } }",
    (
        "{ viewer { ...F } } fragment F on User { orders(first: 10) { edges { ...G } } } "
        "fragment G on OrderEdge { node { ...H id } } fragment H on Order { instrument { symbol } }"
    ),
    (
        "{ ...R ...R viewer { ...F ...F } } fragment R on Query { viewer { ...F } } "
        "fragment F on User { orders(first: 10) { edges { node { id instrument { symbol } } } } }"
    ),
    "query ($x: Boolean!) { viewer { orders(first: 10) { edges @include(if: $x) { node { instrument { id } } } } } }",
]


@pytest.mark.parametrize("document", SAME)
def test_document_when_it_is_written_another_way_then_it_costs_the_same(document: str) -> None:
    assert cost_of(document, n=10, x=True) == 22


@pytest.mark.parametrize(
    ("document", "said", "extensions"),
    [
        (
            "{ orders(first: 100) { edges { node { fills(first: 100) { edges { node { id } } } } } } }",
            ("The operation may cost 10201 points, and one may cost 5000: "
                "`orders(first: 100).edges.node.fills(first: 100)` "
            "alone is 10100 of them. With pages of 69 at most it would fit."),
            {"code": "COST_EXCEEDED", "cost": 10201, "most": 5000, "pageSizeThatFits": 69},
        ),
        (
            "{ orders { edges { node { fills { edges { node { order { events { edges { node { id } } } } } } } } } } }",
            ("The operation may cost 132601 points, and one may cost 5000: "
            "`orders.edges.node.fills.edges.node.order.events` alone is 127500 of them. "
            "With pages of 16 at most it would fit."),
            {"code": "COST_EXCEEDED", "cost": 132601, "most": 5000, "pageSizeThatFits": 16},
        ),
        (
            "{ " + " ".join(f'a{n}: instrument(symbol: "S") {{ {CANDLES} }}' for n in range(6)) + " }",
            ("The operation may cost 6006 points, and one may cost 5000: `instrument.candles` alone is 1000 of them. "
            "With pages of 100 at most it would fit."),
            {"code": "COST_EXCEEDED", "cost": 6006, "most": 5000, "pageSizeThatFits": 100},
        ),
        (
            "{ " + " ".join(f"a{n}: viewer {{ apiKeys {{ name }} }}" for n in range(20)) + " }",
            None,
            None,
        ),
        (
            "{ " + " ".join(f"a{n}: viewer {{ id }}" for n in range(21)) + " }",
            "The operation has 21 fields at its root: it may have 20. Send several.",
            {"code": "TOO_COMPLEX", "most": 20},
        ),
        (
            "{ viewer { " + " ".join(f"a{n}: id" for n in range(31)) + " } }",
            "The operation has 31 aliases, fragments spread out: it may have 30.",
            {"code": "TOO_COMPLEX", "most": 30},
        ),
        (
            "{ a: viewer { ...F } b: viewer { ...F } } fragment F on User { "
            + " ".join(f"a{n}: id" for n in range(15))
            + " }",
            "The operation has 32 aliases, fragments spread out: it may have 30.",
            {"code": "TOO_COMPLEX", "most": 30},
        ),
        (
            "{ a: viewer { " + "id @skip(if: false) " * 26 + "} b: viewer { " + "id @include(if: true) " * 25 + "} }",
            "The document has 51 directives: it may have 50.",
            {"code": "TOO_COMPLEX", "most": 50},
        ),
        (
            ("{ viewer { portfolios(first: 1) { edges { node { owner { portfolios(first: 1) { edges { node { owner { "
            "portfolios(first: 1) { edges { node { id } } } } } } } } } } } } }"),
            ("The operation goes deeper than 12 fields, at "
            "`viewer.portfolios.edges.node.owner.portfolios.edges.node.owner.portfolios.edges.node.id`: "
            "ask for that by another one."),
            {"code": "TOO_COMPLEX", "most": 12},
        ),
    ],
)  # fmt: skip
def test_document_when_it_is_too_much_then_the_error_says_what_made_it_so_and_what_would_fit(
    document: str, said: str | None, extensions: dict[str, Any] | None
) -> None:
    if said is None:
        assert cost_of(document) == 2020
        return
    with pytest.raises(TooComplex) as refusal:
        cost_of(document)
    assert str(refusal.value) == said
    assert refusal.value.error.extensions == extensions


def test_document_when_it_has_what_is_let_through_and_no_more_then_it_passes() -> None:
    most = SETTINGS
    assert cost_of("{ " + " ".join(f"a{n}: viewer {{ id }}" for n in range(most.cost_root_fields_max)) + " }") == 20
    assert cost_of("{ viewer { " + " ".join(f"a{n}: id" for n in range(most.cost_aliases_max)) + " } }") == 1


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ("{{ nodes(ids: [{}]) {{ id }} }}", "nodes(ids:)"),
        ("query ($ids: [ID!]! = [{}]) {{ nodes(ids: $ids) {{ id }} }}", "$ids"),
        ("{{ ...F }} fragment F on Query {{ ... {{ all: nodes(ids: [{}]) {{ id }} }} }}", "nodes(ids:)"),
    ],
)
def test_list_when_the_document_has_a_longer_one_than_it_may_then_it_is_said_where(document: str, named: str) -> None:
    shape_of(document.format('"x" ' * 500))
    with pytest.raises(TooComplex) as refusal:
        shape_of(document.format('"x" ' * 501))
    assert str(refusal.value) == f"`{named}` has a list of 501 items: it may have 500."


def test_list_when_it_stands_in_an_object_or_a_list_then_it_may_be_no_longer() -> None:
    document = parse("{ f(input: {a: [[1], {b: [" + "1 " * 501 + "]}]}) }")
    literals_fit(document.definitions, 501)
    with pytest.raises(TooComplex) as refusal:
        literals_fit(document.definitions, 500)
    assert str(refusal.value) == "`f(input:)` has a list of 501 items: it may have 500."
