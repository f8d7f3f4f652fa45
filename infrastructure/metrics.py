"""What a process counts of its own work, for Prometheus; each process has a registry of its own."""

import bisect
import functools
import itertools
from collections import Counter as Count
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

UNKNOWN = "unknown"
"""The kind of what was refused before it was known what it is."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Operations(Collector):
    """Operations by kind and outcome, and how long they took.

    Counted in plain numbers, by the one thread that executes operations: a counter of the library takes a lock each
    time, and its histogram several.
    """

    def __init__(self) -> None:
        self._outcomes = Count[tuple[str, str]]()
        self._buckets: dict[str, list[int]] = {}
        """By kind, how many took no longer than each of `SECONDS` but longer than the one before, and than all."""
        self._sums: dict[str, float] = {}

    def count(self, kind: str, outcome: str) -> None:
        """One has ended, however long it took."""
        self._outcomes[kind, outcome] += 1

    def note(self, kind: str, outcome: str, seconds: float) -> None:
        """One has ended."""
        self.count(kind, outcome)
        buckets = self._buckets.get(kind)
        if buckets is None:
            buckets = self._buckets[kind] = [0] * (len(SECONDS) + 1)
            self._sums[kind] = 0.0
        buckets[bisect.bisect_left(SECONDS, seconds)] += 1
        self._sums[kind] += seconds

    def collect(self) -> Iterator[Metric]:
        """As a registry has it."""
        counted = CounterMetricFamily(
            "tradegraph_operations", "Operations by kind and outcome.", labels=["kind", "outcome"]
        )
        for labels, count in self._outcomes.items():
            counted.add_metric(labels, count)
        took = HistogramMetricFamily("tradegraph_operation_seconds", "How long operations took.", labels=["kind"])
        bounds = [*(str(float(bound)) for bound in SECONDS), "+Inf"]
        for kind, buckets in self._buckets.items():
            took.add_metric([kind], list(zip(bounds, itertools.accumulate(buckets), strict=True)), self._sums[kind])
        yield counted
        yield took


class Tally(Collector):
    """A counter of what is counted elsewhere: it is told the counts when somebody looks."""

    def __init__(self, name: str, description: str, labels: Sequence[str] = (), *, registry: CollectorRegistry) -> None:
        self._name, self._description, self._labels = name, description, labels
        self._counts: dict[tuple[str, ...], int] = {} if labels else {(): 0}
        registry.register(self)

    def set(self, count: int, *labels: str) -> None:
        """So many since the process began."""
        self._counts[labels] = count

    def collect(self) -> Iterator[Metric]:
        """As a registry has it."""
        family = CounterMetricFamily(self._name, self._description, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Metrics:
    """The counters and gauges of a process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.operations = Operations()
        registry.register(self.operations)
        self.fallbacks = Counter(
            "tradegraph_executor_fallbacks",
            "Operations that were interpreted, as they could not be compiled.",
            registry=registry,
        )
        self.closed = Counter(
            "tradegraph_sockets_closed", "Websockets that the server closed, by code.", ["code"], registry=registry
        )
        gauge, tally = functools.partial(Gauge, registry=registry), functools.partial(Tally, registry=registry)
        self.limit_fallbacks = tally(
            "tradegraph_limit_fallbacks", "Operations charged to this process's own budgets, as Redis was gone."
        )
        self.redis_failures = tally("tradegraph_redis_failures", "Calls to Redis that got no answer.")
        self.redis_outages = tally("tradegraph_redis_outages", "How often Redis was found to be gone.")
        self.sockets = gauge("tradegraph_sockets", "Open websockets and event streams.")
        self.subscriptions = gauge("tradegraph_subscriptions", "Subscriptions that run.")
        self.waiting = gauge("tradegraph_subscriptions_waiting", "Sockets and subscriptions that wait to begin.")
        self.log_position = gauge("tradegraph_log_position", "Up to which event this process has seen the log.")
        self.log_lag = gauge("tradegraph_log_lag", "How many events it has not seen yet.")
        self.handlers = gauge("tradegraph_handlers", "Handlers that react to events of a type.", ["type"])
        self.handlers_running = gauge("tradegraph_handlers_running", "Handlers that this process has just now.")
        self.handler_waiting = gauge(
            "tradegraph_handler_waiting", "Events that wait for a handler, counted up to 1,000.", ["handler"]
        )
        self.handler_lag = gauge(
            "tradegraph_handler_lag_seconds", "For how long the first of these has waited.", ["handler"]
        )
        self.dead_letters = gauge("tradegraph_dead_letters", "Events that a handler has given up.", ["handler"])
        self.connections = gauge("tradegraph_database_connections", "Connections in use, by what they do.", ["role"])
        self.feed_age = gauge("tradegraph_feed_age_seconds", "The age of the newest quote; -1 where there is none.")
        self.cached = tally(
            "tradegraph_cache_values",
            "Values that were asked for, by kind and by where they came from.",
            ["kind", "source"],
        )
        self.cache_evicted = tally("tradegraph_cache_evicted", "Values that had to make room for others.", ["kind"])
        self.cache_entries = gauge("tradegraph_cache_entries", "Values that the process's memory keeps.", ["kind"])
        self.cache_bytes = gauge("tradegraph_cache_bytes", "About what they take in it, with their keys.", ["kind"])
        self.replica_reads = tally(
            "tradegraph_replica_reads",
            "Readings that a replica could answer: it did (served), had not come so far (behind), or was gone.",
            ["outcome"],
        )

    def exposition(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
