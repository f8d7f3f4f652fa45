"""Risk limits, checks and trading status on the wire."""

from collections.abc import Awaitable
from datetime import datetime
from decimal import Decimal

import strawberry

import models.portfolios as portfolios_domain
import models.risk as domain
from graph.base import Info, Input, Node, command, identified, input_id, later, resolved, stands_for
from graph.belonging import portfolio_of
from graph.errors import Payload, answering
from graph.portfolios import PortfolioPayload
from graph.weights import FREE
from models.enums import RiskCheckKind, RiskLimitKind, Severity, TradingState
from resolvers.portfolios.queries import market_status
from resolvers.risk import commands, queries


@strawberry.type(description="What one check saw and what it allows.", directives=[FREE])
class RiskCheck:
    """Shows `models.risk.RiskCheck`."""

    kind: RiskCheckKind = strawberry.field(description="Which check.")
    passed: bool = strawberry.field(description="Whether it lets the order through.")
    threshold: Decimal | None = strawberry.field(description="What it allows; null for a check that has no figure.")
    projected: Decimal | None = strawberry.field(description="What it saw; null for a check that has no figure.")
    message: str = strawberry.field(description="The same for people.")


async def _utilization(parent: strawberry.Parent[domain.RiskLimit], info: Info) -> Decimal | None:
    return queries.utilization(await queries.current(info.context, parent), parent.threshold)


def _current(parent: strawberry.Parent[domain.RiskLimit], info: Info) -> Awaitable[Decimal | None]:
    return queries.current(info.context, parent)


@strawberry.type(description="A limit of a portfolio, held before every order.")
class RiskLimit(Node):
    """Shows `models.risk.RiskLimit`."""

    is_type_of = stands_for(domain.RiskLimit)

    id: strawberry.ID = identified("RiskLimit")
    portfolio: portfolios_domain.Portfolio = resolved(
        portfolio_of, "Whose limit it is.", later("portfolios", "Portfolio")
    )
    kind: RiskLimitKind = strawberry.field(description="What it limits.")
    threshold: Decimal = strawberry.field(
        description="The most that is allowed: money, a fraction or a multiple of total equity, or a count."
    )
    current: Decimal | None = resolved(
        _current, "What it measures now; null where it measures single orders, or a price for it is missing."
    )
    utilization: float | None = resolved(_utilization, "`current` as a fraction of `threshold`.")
    severity: Severity = strawberry.field(
        description="How much a breach matters: at CRITICAL it pauses the portfolio's trading."
    )


@strawberry.type(description="What trading is let through.")
class TradingStatus:
    """Shows `models.portfolios.TradingStatus`."""

    state: TradingState = strawberry.field(description="What is let through.")
    reason: str | None = strawberry.field(description="Why it is not everything.")
    since: datetime = strawberry.field(description="Since when.")
    resume_after: datetime | None = strawberry.field(description="When it opens again by itself; null: by hand.")


@strawberry.type(description="What setting a risk limit answers with.")
class RiskLimitPayload(Payload):
    """A limit, or why not."""

    risk_limit: domain.RiskLimit | None = strawberry.field(
        graphql_type=RiskLimit | None, default=None, description="The limit as it is now."
    )


@strawberry.type(description="What pausing and resuming answer with.")
class TradingStatusPayload(Payload):
    """A status, or why not."""

    trading_status: portfolios_domain.TradingStatus | None = strawberry.field(
        graphql_type=TradingStatus | None, default=None, description="What is let through from now on."
    )


@strawberry.input(description="A limit to set.")
class SetRiskLimitInput:
    """For `setRiskLimit`."""

    portfolio_id: strawberry.ID = strawberry.field(description="The portfolio.")
    kind: RiskLimitKind = strawberry.field(description="What to limit; a limit of this kind is changed.")
    threshold: Decimal = strawberry.field(
        description="The most that is allowed: money, a fraction or a multiple of total equity, or a count."
    )
    severity: Severity | None = strawberry.field(
        default=None,
        description="How much a breach matters: CRITICAL pauses trading; WARNING for a new limit if not given.",
    )


@strawberry.input(description="A limit to remove.")
class RemoveRiskLimitInput:
    """For `removeRiskLimit`."""

    portfolio_id: strawberry.ID = strawberry.field(description="The portfolio.")
    kind: RiskLimitKind = strawberry.field(description="Which of its limits.")


@strawberry.input(description="Which trading to hold, and why.")
class PauseTradingInput:
    """For `pauseTrading`."""

    portfolio_id: strawberry.ID | None = strawberry.field(
        default=None, description="The portfolio; everybody's trading if not given (ADMIN)."
    )
    reason: str = strawberry.field(description="Why, for people.")
    resume_after: datetime | None = strawberry.field(
        default=None, description="When it opens again by itself; by hand if not given."
    )
    reduce_only: bool | None = strawberry.field(
        default=None, description="Let through what makes positions smaller; not if not given."
    )


@strawberry.input(description="Which trading to let go on.")
class ResumeTradingInput:
    """For `resumeTrading`."""

    portfolio_id: strawberry.ID | None = strawberry.field(
        default=None, description="The portfolio; everybody's trading if not given (ADMIN)."
    )


@answering(RiskLimitPayload)
async def _set_risk_limit(info: Info, asked: Input[SetRiskLimitInput]) -> RiskLimitPayload:
    portfolio_id = input_id(asked.portfolio_id, "Portfolio", "portfolioId")
    done = await commands.set_risk_limit(info.context, portfolio_id, asked.kind, asked.threshold, asked.severity)
    return RiskLimitPayload(risk_limit=done.value)


@answering(PortfolioPayload)
async def _remove_risk_limit(info: Info, asked: Input[RemoveRiskLimitInput]) -> PortfolioPayload:
    portfolio_id = input_id(asked.portfolio_id, "Portfolio", "portfolioId")
    done = await commands.remove_risk_limit(info.context, portfolio_id, asked.kind)
    return PortfolioPayload.of(info, done)


@answering(TradingStatusPayload)
async def _pause_trading(info: Info, asked: Input[PauseTradingInput]) -> TradingStatusPayload:
    portfolio_id = None if asked.portfolio_id is None else input_id(asked.portfolio_id, "Portfolio", "portfolioId")
    done = await commands.pause_trading(
        info.context, portfolio_id, asked.reason, asked.resume_after, reduce_only=bool(asked.reduce_only)
    )
    return TradingStatusPayload(trading_status=done.value)


@answering(TradingStatusPayload)
async def _resume_trading(info: Info, asked: Input[ResumeTradingInput]) -> TradingStatusPayload:
    portfolio_id = None if asked.portfolio_id is None else input_id(asked.portfolio_id, "Portfolio", "portfolioId")
    done = await commands.resume_trading(info.context, portfolio_id)
    return TradingStatusPayload(trading_status=done.value)


def _market_status(info: Info) -> Awaitable[portfolios_domain.TradingStatus]:
    return market_status(info.context)


@strawberry.type
class RiskQueries:
    """What can be asked of risk."""

    trading_status: TradingStatus = resolved(_market_status, "What trading is let through for everybody.")


@strawberry.type
class RiskMutations:
    """What can be done about risk."""

    set_risk_limit: RiskLimitPayload = command(_set_risk_limit, "Set a portfolio's limit of a kind.")
    remove_risk_limit: PortfolioPayload = command(_remove_risk_limit, "Remove a portfolio's limit of a kind.")
    pause_trading: TradingStatusPayload = command(
        _pause_trading, "Hold trading in a portfolio, or everybody's (ADMIN). Cancels always pass."
    )
    resume_trading: TradingStatusPayload = command(
        _resume_trading, "Let trading go on in a portfolio, or everybody's (ADMIN)."
    )
