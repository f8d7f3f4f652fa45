"""Market alerts and sentiment on the wire."""

from collections.abc import Awaitable
from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry

import models.market_alerts as domain
from graph.base import Info, Input, Node, command, identified, input_id, resolved, stands_for
from graph.belonging import instrument_of
from graph.errors import Payload, answering
from graph.marketdata import Instrument
from graph.weights import at_most
from models import marketdata
from models.enums import MarketAlertKind
from resolvers.alerts import market_alerts
from resolvers.marketdata import sentiment

ALERTS = 100
"""What a user may have of them, if the settings say nothing else."""


@strawberry.type(description="Tells its maker when the market comes to a threshold.")
class MarketAlert(Node):
    """Shows `models.market_alerts.MarketAlert`."""

    is_type_of = stands_for(domain.MarketAlert)

    id: strawberry.ID = identified("MarketAlert")
    instrument: marketdata.Instrument = resolved(instrument_of, "What it watches.", Instrument)
    kind: MarketAlertKind = strawberry.field(description="What about it.")
    threshold: Decimal = strawberry.field(
        description="Where it goes off: a price, a percentage (5 is 5%), or a multiple of the usual volume."
    )
    triggered_at: datetime | None = strawberry.field(description="When it went off last; null if it never did.")
    armed: bool = strawberry.field(
        description="Whether it may go off: after it did, what it watches has to go back a little first."
    )
    created_at: datetime = strawberry.field(description="When it was made.")


def _alerts_of_user(parent: strawberry.Parent[Any], info: Info) -> Awaitable[list[domain.MarketAlert]]:
    return market_alerts.market_alerts_of(info.context, parent.id)


@strawberry.type
class UserMarketAlerts:
    """What a user has of market alerts."""

    market_alerts: list[domain.MarketAlert] = resolved(
        _alerts_of_user,
        "What they watch the market for, oldest first. Only their own to see: for an ADMIN who looks at another user, "
        "empty.",
        list[MarketAlert],
        at_most(ALERTS),
    )


@strawberry.type(description="What making and deleting a market alert answer with.")
class MarketAlertPayload(Payload):
    """An alert, or why not."""

    market_alert: domain.MarketAlert | None = strawberry.field(
        graphql_type=MarketAlert | None, default=None, description="The alert; a deleted one as it was."
    )


@strawberry.type(description="What recording sentiment answers with.")
class InstrumentPayload(Payload):
    """An instrument, or why not."""

    instrument: marketdata.Instrument | None = strawberry.field(
        graphql_type=Instrument | None, default=None, description="The instrument, with its new `sentiment`."
    )


@strawberry.input(description="What to watch the market for.")
class CreateMarketAlertInput:
    """For `createMarketAlert`."""

    symbol: str = strawberry.field(description="The instrument.")
    kind: MarketAlertKind = strawberry.field(description="What about it.")
    threshold: Decimal = strawberry.field(
        description="Where it goes off, above 0: a price, a percentage (5 is 5%), or a multiple of the usual volume."
    )


@strawberry.input(description="An alert that is not wanted any more.")
class DeleteMarketAlertInput:
    """For `deleteMarketAlert`."""

    alert_id: strawberry.ID = strawberry.field(description="The alert.")


@strawberry.input(description="An analysis of what is felt about an instrument.")
class RecordSentimentInput:
    """For `recordSentiment`."""

    symbol: str = strawberry.field(description="The instrument.")
    score: float = strawberry.field(description="From -1, as bad as can be, to 1; 6 decimal places are kept.")
    confidence: float = strawberry.field(description="How sure that is, from 0 to 1; 6 decimal places are kept.")
    source: str = strawberry.field(description="Where it comes from, 1 to 100 characters.")


@answering(MarketAlertPayload)
async def _create(info: Info, asked: Input[CreateMarketAlertInput]) -> MarketAlertPayload:
    done = await market_alerts.create_market_alert(info.context, asked.symbol, asked.kind, asked.threshold)
    return MarketAlertPayload(market_alert=done.value)


@answering(MarketAlertPayload)
async def _delete(info: Info, asked: Input[DeleteMarketAlertInput]) -> MarketAlertPayload:
    alert_id = input_id(asked.alert_id, "MarketAlert", "alertId")
    return MarketAlertPayload(market_alert=(await market_alerts.delete_market_alert(info.context, alert_id)).value)


@answering(InstrumentPayload)
async def _record(info: Info, asked: Input[RecordSentimentInput]) -> InstrumentPayload:
    score, confidence = Decimal(str(asked.score)), Decimal(str(asked.confidence))
    done = await sentiment.record_sentiment(info.context, asked.symbol, score, confidence, asked.source)
    return InstrumentPayload(instrument=done.value)


@strawberry.type
class MarketAlertMutations:
    """What can be done about the market's alerts and sentiment."""

    create_market_alert: MarketAlertPayload = command(
        _create, "Be told when the market comes to a threshold. One that has come to it already goes off at once."
    )
    delete_market_alert: MarketAlertPayload = command(_delete, "Be told no longer.")
    record_sentiment: InstrumentPayload = command(
        _record, "For feeds of sentiment (role ANALYST or ADMIN): the latest analysis of an instrument."
    )
