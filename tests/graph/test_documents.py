"""Several operations in one document: each sees what the ones before it have done."""

from graph.base import global_id
from infrastructure.services import Services
from tests.support.market import Trader
from tests.support.wire import executed

DONE = ("depositCash", "depositCash", "withdrawCash")


async def test_mutations_when_in_one_document_then_each_answers_with_what_is_so_after_it(services: Services) -> None:
    trader = await Trader.with_cash(services, "100")
    asked = f"""input: {{ portfolioId: "{global_id("Portfolio", trader.portfolio_id)}", amount: "5" }}"""
    shown = "{ portfolio { cash buyingPower valuation { cash totalValue } } }"
    fields = [f"{name}: {field}({asked}) {shown}" for name, field in zip("abc", DONE, strict=True)]
    document = f"mutation {{ {' '.join(fields)} }}"
    result = await executed(trader.ctx, document)
    assert not result.errors
    assert result.data == {
        name: {
            "portfolio": {"cash": cash, "buyingPower": cash, "valuation": {"cash": cash, "totalValue": cash}},
        }
        for name, cash in (("a", "105"), ("b", "110"), ("c", "105"))
    }
