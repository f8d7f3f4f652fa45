"""What can be done to the book, each action a function of one number, so that Hypothesis can leave some out.

Weights are ours: left to itself Hypothesis prefers small and simple things, and then hardly anything is traded.
"""

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from models.enums import OrderType
from tests.stateful.pit import UNTRADABLE

D = Decimal
Action = tuple[str, dict[str, Any]]

NOT_QUOTED = "TLT"
# Of each: the tick, the lot, the lots in one step of a quantity, the ticks in one step of a price, the first bid.
TICKS = {"AAPL": D("0.01"), "KO": D("0.01"), "BTC-USD": D("0.01"), NOT_QUOTED: D("0.01")}
LOTS = {"AAPL": D(1), "KO": D(1), "BTC-USD": D("0.00001"), NOT_QUOTED: D(1)}
LOTS_IN_STEP = {"AAPL": 1, "KO": 3, "BTC-USD": 73, NOT_QUOTED: 1}
TICKS_IN_STEP = {"AAPL": 10, "KO": 1, "BTC-USD": 10_007, NOT_QUOTED: 1}
FIRST_BIDS = {"AAPL": D("100.00"), "KO": D("70.01"), "BTC-USD": D("95000.00")}

WHO, QUOTED, SIDES, TIFS = ("ada", "bob"), tuple(FIRST_BIDS), ("BUY", "SELL"), ("GTC", "DAY", "IOC", "FOK")
BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({"quantity": D(0)}, ["INVALID_INPUT"]),
    "negative": ({"quantity": D(-1)}, ["INVALID_INPUT"]),
    "a part of a lot": ({"quantity": D("1.5")}, ["INVALID_INPUT"]),
    "too many places": ({"quantity": D("1.000000001")}, ["INVALID_INPUT"]),
    "no limit": ({"limit_price": None}, ["INVALID_INPUT"]),
    "a limit at the market": ({"type": OrderType.MARKET}, ["INVALID_INPUT"]),
    "a part of a tick": ({"limit_price": D("99.995")}, ["INVALID_INPUT"]),
    "a limit of nothing": ({"limit_price": D(0), "quantity": D(0)}, ["INVALID_INPUT", "INVALID_INPUT"]),
    "a key of nothing": ({"client_order_id": ""}, ["INVALID_INPUT"]),
    "no such symbol": ({"symbol": "NOPE"}, ["NOT_FOUND"]),
    "not tradable": ({"symbol": UNTRADABLE}, ["INSTRUMENT_NOT_TRADABLE"]),
}
"""What is wrong with an order, and the codes that say so."""
BAD_FOR_ITS_INSTRUMENT = ("a part of a lot", "a part of a tick")
"""Of these, what nobody looks at while the instrument can't be traded."""


def choose(number: int) -> Action:
    """The action of that number: a method of the machine, and its arguments."""
    chance = random.Random(number)  # noqa: S311 - repeatable on purpose
    names = list(ACTIONS)
    [name] = chance.choices(names, [ACTIONS[each][0] for each in names])
    return name, ACTIONS[name][1](chance)


def _cents(chance: random.Random) -> Decimal:
    return D(chance.randint(1, 10 ** chance.randint(1, 7))) / 100


def _trade(chance: random.Random) -> dict[str, Any]:
    return {
        "who": chance.choice(WHO),
        "symbol": chance.choice(QUOTED),
        "side": chance.choice(SIDES),
        "size": chance.randint(1, 200),
        "tif": chance.choice(TIFS),
    }


def _rest(chance: random.Random) -> dict[str, Any]:
    return _trade(chance) | {"tif": chance.choice(("DAY", "GTC")), "offset": chance.randint(-12, 12)}


def _turn(chance: random.Random) -> dict[str, Any]:
    return {
        "who": chance.choice(WHO),
        "symbol": chance.choice(QUOTED),
        "size": chance.choice(("half", "held", "twice", "twice")),
        "tif": chance.choice(TIFS),
    }


def _place(chance: random.Random) -> dict[str, Any]:
    return _trade(chance) | {
        "symbol": chance.choice((*QUOTED, NOT_QUOTED)),
        "size": chance.choice((chance.randint(1, 400), "half", "held", "twice", "much")),
        "offset": chance.choice((None, chance.randint(-40, 40))),
        "ask_first": True,
    }


def _stop(chance: random.Random) -> dict[str, Any]:
    near = {"stop": chance.randint(-20, 20)}
    prices = chance.choice(
        (
            near,
            near | {"limit": chance.randint(-20, 20)},
            {"trail": chance.randint(1, 25)},
            {"percent": chance.randint(1, 40)},
        )
    )
    tif = chance.choice(("GTC", "GTC", "DAY", "GTD", "GTD", "IOC", "FOK"))
    until_s = chance.randint(1, 30) if tif == "GTD" else None
    size = chance.choice((chance.randint(1, 200), "most"))
    return _trade(chance) | {"size": size, "tif": tif, "prices": prices, "until_s": until_s}


def _replace(chance: random.Random) -> dict[str, Any]:
    moves = {name: chance.choice((0, chance.randint(-15, 15))) for name in ("limit", "stop", "trail", "percent")}
    ends = chance.choice(({}, {}, {}, {"until": chance.randint(1, 30)}, {"good": 1}))
    return {
        "who": chance.choice(WHO),
        "which": chance.randrange(100),
        "working": chance.random() < 0.9,
        "seen": chance.choice(("nothing", "nothing", "this", "another")),
        "lots": chance.choice((0, chance.randint(-40, 40), chance.randint(-5, 5))),
        "moves": moves | ends,
    }


def _cancel_all(chance: random.Random) -> dict[str, Any]:
    return {"who": chance.choice(WHO), "symbol": chance.choice((None, *QUOTED, NOT_QUOTED))}


def _close(chance: random.Random) -> dict[str, Any]:
    size = chance.choice(("whole", "whole", "half", "half", "more"))
    return {"who": chance.choice(WHO), "symbol": chance.choice(QUOTED), "size": size}


def _place_oddly(chance: random.Random) -> dict[str, Any]:
    how = chance.choice((*BAD, *["again", "changed"] * 5))
    return {"who": chance.choice(WHO), "how": how, "which": chance.randrange(100)}


def _cancel(chance: random.Random) -> dict[str, Any]:
    who = chance.choice(WHO)
    return {
        "who": who,
        "which": chance.randrange(100),
        "working": chance.random() < 0.7,
        "by": chance.choice((who, who, who, *WHO)),
        "reason": chance.choice((None, "Not today")),
    }


def _tick(chance: random.Random) -> dict[str, Any]:
    moves = [
        (
            symbol,
            chance.choice((*[chance.randint(-40, 40)] * 6, -300, 300)),
            chance.randint(1, 30),
            chance.randint(0, 100),
        )
        for symbol in chance.sample(QUOTED, chance.randint(1, 3))
    ]
    return {"moves": moves, "previous": chance.random() < 0.8}


def _tick_all(chance: random.Random) -> dict[str, Any]:
    return {"moves": [(symbol, chance.randint(-12, 12), 2, 50) for symbol in QUOTED], "previous": True}


def _transfer(chance: random.Random) -> dict[str, Any]:
    return {
        "who": chance.choice(WHO),
        "amount": chance.choice((_cents(chance), _cents(chance), "all", "more")),
        "key": chance.choice((None, "a", "b")),
        "out": chance.random() < 0.5,
    }


def _pass_time(chance: random.Random) -> dict[str, Any]:
    wait = chance.choice((*[chance.randint(1, 12)] * 3, "midnight", "a day"))
    return {"wait": wait, "quoted": chance.random() < 0.7}


def _hold(chance: random.Random) -> dict[str, Any]:
    return {
        "who": chance.choice((*WHO, "everybody")),
        "state": chance.choice(("ACTIVE", "ACTIVE", "REDUCE_ONLY", "PAUSED")),
        "resume_s": chance.choice((None, chance.randint(1, 10))),
    }


def _limit(chance: random.Random) -> dict[str, Any]:
    limits = {
        "MAX_OPEN_ORDERS": D(chance.randint(0, 6)),
        "MAX_ORDER_NOTIONAL": _cents(chance),
        "MAX_POSITION_NOTIONAL": _cents(chance),
        "MAX_CONCENTRATION": D(chance.randint(0, 100)) / 100,
        "MAX_GROSS_EXPOSURE": _cents(chance),
        "MAX_LEVERAGE": D(chance.randint(0, 300)) / 100,
    }
    kind = chance.choice(list(limits))
    return {"who": chance.choice(WHO), "kind": kind, "threshold": chance.choice((None, limits[kind]))}


def _import_catalogue(chance: random.Random) -> dict[str, Any]:
    return {
        "symbol": chance.choice((*QUOTED, NOT_QUOTED)),
        "tradable": chance.random() < 0.75,
        "fault": chance.random() < 0.2,
    }


def _nothing(_chance: random.Random) -> dict[str, Any]:
    return {}


ACTIONS: dict[str, tuple[int, Callable[[random.Random], dict[str, Any]]]] = {
    "trade": (10, _trade),
    "rest": (8, _rest),
    "turn": (5, _turn),
    "place": (5, _place),
    "stop": (8, _stop),
    "replace": (6, _replace),
    "cancel_all": (3, _cancel_all),
    "close": (3, _close),
    "place_oddly": (3, _place_oddly),
    "cancel": (4, _cancel),
    "tick": (4, _tick),
    "tick_all": (6, _tick_all),
    "transfer": (3, _transfer),
    "pass_time": (3, _pass_time),
    "hold": (2, _hold),
    "limit": (2, _limit),
    "restart_broker": (1, _nothing),
    "import_catalogue": (2, _import_catalogue),
}
"""How often, of 78, and with what."""
