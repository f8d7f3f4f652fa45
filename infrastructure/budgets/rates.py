from limits import RateLimitItem, parse

from infrastructure.budgets.charges import Bucket
from infrastructure.limit_settings import LimitSettings


class Rates:
    """The budgets that the settings give."""

    def __init__(self, settings: LimitSettings) -> None:
        self.user = Bucket(settings.limit_user_points, settings.limit_user_restore)
        self.key = Bucket(settings.limit_key_points, settings.limit_key_restore)
        self.anonymous = Bucket(settings.limit_anonymous_points, settings.limit_anonymous_restore)
        self.address = Bucket(settings.limit_address_points, settings.limit_address_restore)
        self.operations: dict[str, RateLimitItem] = {
            "accounts": parse(settings.limit_user_operations),
            "trading": parse(settings.limit_trading_operations),
            "portfolios": parse(settings.limit_portfolio_operations),
            "risk": parse(settings.limit_risk_operations),
        }
        """For each class of operations, how many there may be."""
