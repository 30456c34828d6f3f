"""Catalogue of what happens to the HTTP gateway."""

from __future__ import annotations

import logging
from typing import ClassVar

from infra.telemetry.dispatch import TelemetryEvent


class GatewayReady(TelemetryEvent, frozen=True, kw_only=True):
    """The gateway is connected to the broker and listens."""

    #: Where it listens.
    url: str
    #: Host and port of the broker.
    broker: str
    #: Host and port of its metrics and health; empty: there are none.
    metrics: str = ""

    def __str__(self) -> str:
        where = f", metrics at {self.metrics}" if self.metrics else ""
        return f"gateway ready at {self.url}, connected to {self.broker}{where}"


class GatewayMoved(TelemetryEvent, frozen=True, kw_only=True):
    """Another program has the gateway's port; it listens on a free one."""

    #: The port that was configured.
    port: int
    #: Where it listens instead.
    url: str

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = "port {port} is taken by another program; the gateway listens at {url}"


class GatewayStopping(TelemetryEvent, frozen=True, kw_only=True):
    """The gateway accepts no more requests, and ends those that it has."""

    #: Requests that wait for a result.
    waiting: int

    def __str__(self) -> str:
        left = f", {self.waiting} requests wait for results" if self.waiting else ""
        return f"gateway stopping{left}"


class GatewayStopped(TelemetryEvent, frozen=True, kw_only=True):
    """The gateway has ended."""

    #: How long the stop took.
    seconds: float

    SENTENCE: ClassVar[str] = "gateway stopped after {seconds:.1f} s"


class HttpAnswered(TelemetryEvent, frozen=True, kw_only=True):
    """The gateway answered a request; for a stream, when it ended."""

    method: str
    #: The path's template, such as ``/api/v1/generations/{request_id}``; empty: no such path.
    route: str
    status: int
    duration_ms: float
    #: The generation request that it was about; empty: none.
    request_id: str = ""

    LEVEL: ClassVar[int] = logging.DEBUG
    SENTENCE: ClassVar[str] = "{method} {route} answered {status} in {duration_ms:.1f} ms"


class AccessUnread(TelemetryEvent, frozen=True, kw_only=True):
    """Tokens could not be read or their use not be stored; those that are known go on to work for an hour."""

    problem: str

    LEVEL: ClassVar[int] = logging.WARNING
    SENTENCE: ClassVar[str] = "the gateway uses the tokens that it knows: {problem}"


class ReplayRunEnded(TelemetryEvent, frozen=True, kw_only=True):
    """A replay job no longer runs in the gateway: it is done, paused or stopped, or something interrupted it."""

    #: Number of the job.
    job: int
    #: The job's state, or ``interrupted``.
    state: str
    #: Requests that this run published.
    published: int = 0
    #: Why it waits, where it does.
    note: str = ""

    QUOTES: ClassVar[tuple[str, ...]] = ("note",)

    def __str__(self) -> str:
        why = f": {self.note}" if self.note else ""
        return f"replay job {self.job} is {self.state}{why}; this run published {self.published:,}"


class RerunEnded(TelemetryEvent, frozen=True, kw_only=True):
    """A rerun no longer runs in the gateway: all its shadows have results, or a problem ended it."""

    #: Its name.
    job: str
    #: Why it ended early; empty: it did not.
    problem: str = ""

    QUOTES: ClassVar[tuple[str, ...]] = ("problem",)

    def __str__(self) -> str:
        return (
            f"rerun {self.job} ended early: {self.problem}" if self.problem else f"rerun {self.job} has ended"
        )


class ChangeRecorded(TelemetryEvent, frozen=True, kw_only=True):
    """Somebody changes something over HTTP; the table `changes` has the same."""

    #: What is done, such as ``generations.cancel``.
    action: str
    #: The id of what is changed.
    target: str
    #: The token; empty: somebody at this machine.
    token_id: str = ""
    #: How the sender is known: ``token``, ``session`` or ``local``.
    via: str

    def __str__(self) -> str:
        who = f"token {self.token_id}" if self.token_id else "the local user"
        return f"{self.action} of {self.target} by {who}"
