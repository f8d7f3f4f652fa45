"""What a process counts of its own work, for Prometheus; each process has a registry of its own."""

import functools

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The counters and gauges of a process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._operations = Counter(
            "tradegraph_operations", "Operations by kind and outcome.", ["kind", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "tradegraph_operation_seconds", "How long operations took.", ["kind"], registry=registry, buckets=SECONDS
        )
        self.fallbacks = Counter(
            "tradegraph_executor_fallbacks",
            "Operations that were interpreted, as they could not be compiled.",
            registry=registry,
        )
        gauge = functools.partial(Gauge, registry=registry)
        self.limit_fallbacks = gauge(
            "tradegraph_limit_fallbacks", "Operations charged to this process's own budgets, as Redis was gone."
        )
        self.redis_failures = gauge("tradegraph_redis_failures", "Calls to Redis that got no answer.")
        self.redis_outages = gauge("tradegraph_redis_outages", "How often Redis was found to be gone.")
        self.sockets = gauge("tradegraph_sockets", "Open websockets and event streams.")
        self.subscriptions = gauge("tradegraph_subscriptions", "Subscriptions that run.")
        self.waiting = gauge("tradegraph_subscriptions_waiting", "Sockets and subscriptions that wait to begin.")
        self.log_position = gauge("tradegraph_log_position", "Up to which event this process has seen the log.")
        self.log_lag = gauge("tradegraph_log_lag", "How many events it has not seen yet.")
        self.connections = gauge("tradegraph_database_connections", "Connections in use, by what they do.", ["role"])
        self.feed_age = gauge("tradegraph_feed_age_seconds", "The age of the newest quote; -1 where there is none.")
        self.cached = gauge(
            "tradegraph_cache_values",
            "Values that were asked for, by kind and by where they came from.",
            ["kind", "source"],
        )
        self.replica_reads = gauge(
            "tradegraph_replica_reads",
            "Readings that a replica could answer: it did (served), had not come so far (behind), or was gone.",
            ["outcome"],
        )
        self._counted: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def operation(self, kind: str, outcome: str, seconds: float) -> None:
        """One has ended: OK, PARTIAL (some fields failed), or the code that it was refused with."""
        found = self._counted.get((kind, outcome))
        if found is None:
            found = self._operations.labels(kind, outcome), self._seconds.labels(kind)
            self._counted[kind, outcome] = found
        found[0].inc()
        found[1].observe(seconds)

    def exposition(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
