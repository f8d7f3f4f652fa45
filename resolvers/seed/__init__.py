"""What fills an empty database: the demo that a first start shows, and volume to measure with."""

from resolvers.seed.demo import EMAIL, PASSWORD, seed_demo
from resolvers.seed.people import email_of
from resolvers.seed.volume import Volume, seed_volume

__all__ = ["EMAIL", "PASSWORD", "Volume", "email_of", "seed_demo", "seed_volume"]
