"""Ports of the runners: what all stages of one process share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from infra.nats.batches import Batches
    from infra.nats.clock import BrokerClock
    from infra.nats.lookup import Lookup
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.runner.cancellation import Cancellation
    from infra.runner.deadlines import Deadlines
    from infra.runner.isolation import Isolation
    from infra.stores.assets import Assets
    from infra.telemetry.dispatch import Telemetry


class RunnerPorts(msgspec.Struct, frozen=True, kw_only=True):
    """The surroundings of a runner."""

    #: Calls to the broker.
    wire: RequestMultiplexer
    #: Reads from the event log.
    lookup: Lookup
    #: Takes what is too large for a message.
    assets: Assets
    #: The broker's time.
    clock: BrokerClock
    #: Publishes of this process.
    batches: Batches
    #: Keeps suspects apart from everything else that runs in this process.
    isolation: Isolation
    #: Stops work whose request got its result elsewhere.
    cancellation: Cancellation
    #: What this process has armed, for the stage that arms deadlines.
    deadlines: Deadlines
    #: Tries of a retryable error before the request fails.
    max_attempts: int
    #: Gets what happens.
    telemetry: Telemetry
