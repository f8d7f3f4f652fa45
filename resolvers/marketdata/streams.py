"""Quotes as they move, conflated."""

import contextlib
from collections.abc import AsyncGenerator, Hashable, Sequence

from models.errors import BadRequest
from models.marketdata import Quote
from resolvers.conflation import latest, pause_s
from resolvers.context import Context
from resolvers.marketdata.loaders import instruments_by_symbol
from resolvers.signed_in import while_signed_in


async def quotes(ctx: Context, symbols: Sequence[str], every_ms: int | None) -> AsyncGenerator[Quote, None]:
    """The latest quote of each symbol, then each time that it moved; a slow reader skips quotes."""
    ctx.signed_in()
    least_s, most = pause_s(every_ms), ctx.services.settings.page_size_max
    if not 1 <= len(symbols) <= most:
        raise BadRequest(f"`symbols` has {len(symbols)}: it has to have 1 to {most}.", "symbols")
    for symbol, instrument in zip(symbols, await ctx.load_many(instruments_by_symbol, symbols), strict=True):
        if instrument is None:
            raise BadRequest(f"There is no instrument {symbol!r}.", "symbols")
    board = ctx.services.quotes

    async def read() -> dict[Hashable, tuple[Hashable, Quote]]:
        ctx.renew()
        found = ((symbol, board.get(symbol)) for symbol in symbols)
        return {symbol: (quote.as_of, quote) for symbol, quote in found if quote is not None}

    rounds = latest(read, [board.moved], least_s, ctx.reader)
    async with contextlib.aclosing(while_signed_in(ctx, rounds)) as moving:
        async for quote in moving:
            yield quote
