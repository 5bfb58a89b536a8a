"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

ROUTES = ("/v1/chat/completions", "/v1/models", "/health", "/metrics")
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Requests, tokens and batches of one server, in a registry of its own.

    `students` are those served, by name; `rows` tells how many rows wait or are written.
    """

    def __init__(self, students: Mapping[str, Any], rows: Callable[[], int]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._requests = Counter(
            "understudy_requests",
            "Requests by route and HTTP status; 499: the client went away",
            ["route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "understudy_request_seconds",
            "Seconds from a request's head to the end of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._tokens = Counter(
            "understudy_tokens",
            "Tokens read and written",
            ["model", "kind"],
            registry=self._registry,
        )
        Gauge(
            "understudy_rows", "Answers being written or waiting for it", registry=self._registry
        ).set_function(rows)
        self._registry.register(_Engines(students))

    def saw(self, path: str, status: int, seconds: float) -> None:
        """Count a request; paths that are no route are one, or strangers would fill the memory."""
        route = next((route for route in ROUTES if path.startswith(route)), "other")
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def used(self, model: str, usage: Mapping[str, int]) -> None:
        """Count an answer's tokens."""
        self._tokens.labels(model, "prompt").inc(usage["prompt_tokens"])
        self._tokens.labels(model, "completion").inc(usage["completion_tokens"])

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        from prometheus_client import generate_latest

        return bytes(generate_latest(self._registry))


class _Engines:
    """What the engines count themselves, read when it is asked for."""

    def __init__(self, students: Mapping[str, Any]) -> None:
        self._students = students

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily

        for name, told in (
            ("calls", "Batched steps of the model"),
            ("rows", "Rows that those steps advanced; by the calls: the mean batch"),
        ):
            family = CounterMetricFamily(f"understudy_model_{name}", told, labels=["model"])
            for model, student in self._students.items():
                family.add_metric([model], getattr(student.engine, name))
            yield family
