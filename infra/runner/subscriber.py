"""Subscriber: the pull loop as FastStream's application carries it.

FastStream builds application, connection, start and stop; this one class replaces its pull loop.  The import
paths are FastStream's internal ones: the version is pinned exactly, and tests/unit/test_seam.py says what broke
when it is raised.  docs/adr/0001 has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from faststream._internal.broker.registrator import Registrator
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream.middlewares import AckPolicy
from faststream.nats import JStream, PullSub
from faststream.nats.subscriber.config import NatsSubscriberConfig, NatsSubscriberSpecificationConfig
from faststream.nats.subscriber.specification import NatsSubscriberSpecification
from faststream.nats.subscriber.usecases import PullStreamSubscriber
from nats.js.api import ConsumerConfig

from infra.nats.pull import EXPIRES_S, CreditPull

if TYPE_CHECKING:
    from faststream.nats import NatsBroker

    from contracts.pipeline import Route
    from infra.nats.pull import ConsumerMissing
    from infra.runner.execution import Runner


class CreditSubscriber(PullStreamSubscriber):
    """A FastStream subscriber whose messages go through a :class:`Runner`.

    Args:
        broker: where it registers.
        route: the durable consumer it binds to.
        runner: what is done with each message.
        credits: messages in hand at once.
        heartbeat_s: seconds between two extensions of a lease.
        grace_s: seconds that a stop waits for what is in hand.
        lost: called when the consumer does not exist (any more).
        expires_s: seconds that a pull waits at the broker.
    """

    def __init__(
        self,
        *,
        broker: NatsBroker,
        route: Route,
        runner: Runner,
        credits: int,
        heartbeat_s: float,
        grace_s: float,
        lost: Callable[[ConsumerMissing], None],
        expires_s: float = EXPIRES_S,
    ) -> None:
        consumer = ConsumerConfig(durable_name=route.durable, filter_subjects=list(route.subjects))
        calls = CallsCollection[Any]()
        super().__init__(
            NatsSubscriberConfig(
                subject="",
                sub_config=consumer,
                extra_options={},
                no_reply=True,
                _outer_config=broker.config,  # pyright: ignore[reportArgumentType] - typed wider there
                _ack_policy=AckPolicy.MANUAL,
            ),
            NatsSubscriberSpecification(
                _outer_config=broker.config,  # pyright: ignore[reportArgumentType] - typed wider there
                calls=calls,
                specification_config=NatsSubscriberSpecificationConfig(
                    subject="",
                    queue=None,
                    filter_subjects=list(route.subjects),
                    # docs/asyncapi.json is written from contracts/pipeline.py.
                    include_in_schema=False,
                    title_=None,
                    description_=None,
                ),
            ),
            calls,
            queue="",
            pull_sub=PullSub(),
            stream=JStream(route.stream, declare=False),
        )
        self.route = route
        self._runner = runner
        self._grace = grace_s
        self.pull = CreditPull(
            stream=route.stream,
            durable=route.durable,
            credits=credits,
            heartbeat_s=heartbeat_s,
            work=runner,
            lost=lost,
            expires_s=expires_s,
        )
        # FastStream starts only subscribers that have a call; this one is never made.
        self(_never_called)
        Registrator.subscriber(broker, self)  # pyright: ignore[reportArgumentType] - the abstract base registers

    async def _create_subscription(self) -> None:
        """Bind to the durable consumer and start the loop; declares nothing."""
        info = await self.jetstream.stream_info(self.route.stream)
        if info.created is not None:
            self._runner.created_ms[self.route.stream] = int(info.created.timestamp() * 1000)
        await self.pull.open(self.connection)
        self.add_task(self.pull.watch)

    async def stop(self) -> None:
        """Take nothing more, finish or hand back what is in hand."""
        await self.pull.stop(self._grace)
        await super().stop()


async def _never_called(message: Any) -> None:
    """Messages go to the runner; FastStream's own call path is not used."""
    del message
