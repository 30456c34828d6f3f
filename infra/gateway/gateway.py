"""Gateway: what every route shares: settings, one connection to the broker, the audit, and the state of stopping."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final, Self, TypeVar

from fastapi import Depends
from starlette.requests import Request

from contracts import roles
from contracts.errors import Unavailable
from infra.app.board import LaneReader
from infra.app.node_desk import NodeDesk
from infra.app.pipeline_client import PipelineClient
from infra.gateway.audit_database import GatewayDatabase
from infra.gateway.authentication import Authenticator
from infra.gateway.hub import EventHub
from infra.gateway.limits import AccessLimits
from infra.gateway.problems import BUSY_S, Problem
from infra.gateway.replay_runner import ReplayRunner
from infra.gateway.result_feed import ResultFeed
from infra.gateway.shared import SharedAnswers
from infra.telemetry.broker_events import ConnectionLost, ConnectionRestored
from infra.telemetry.log_lines import to_log

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from infra.gateway.access import Authenticate
    from infra.nats.multiplexer import RequestMultiplexer
    from infra.settings.settings import Settings
    from infra.telemetry.dispatch import Telemetry

T = TypeVar("T")
#: Name of the process in events and metrics.
NAME: Final = "gateway"
#: Seconds that a new request waits for a lost connection before it gets 503, and after which streams of events end.
_AWAY_S: Final = 1.0
#: Seconds between two checks whether the tokens of open streams are still valid.
ACCESS_CHECK_S: Final = 5.0
#: Seconds that what is notified of a stop may take in all.
_FAREWELL_S: Final = 2.5


class Gateway:
    """State of the gateway; ``async with`` opens the connection.

    Args:
        settings: this process's settings.
        telemetry: gets what happens; by default the log does.
        authenticate: finds out who sends a request; by default the tokens in the database decide.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        telemetry: Telemetry | None = None,
        authenticate: Authenticate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.telemetry = telemetry or to_log(words=settings.audit.store_prompts, component=NAME)
        self.clock = clock
        self.database = GatewayDatabase(settings.database)
        #: Tokens and sessions.
        self.access = Authenticator(
            settings.gateway, self.database, telemetry=self.telemetry, now_ms=self.now_ms
        )
        self.authenticate: Authenticate = authenticate or self.access
        #: What one token, and one workspace, may ask at once and in a second.
        self.limits = AccessLimits(settings.gateway)
        #: The one connection to the broker.
        self.client = PipelineClient(settings, role=roles.GATEWAY, on_lost=self._lost, on_back=self._back)
        #: Hands results to those who wait for them.
        self.results = ResultFeed(self.client, self.telemetry)
        #: Hands the log's new messages to the streams of events.
        self.hub = EventHub(self.client, self.telemetry)
        #: What many ask for at once: figures, states, findings.
        self.shared = SharedAnswers()
        #: What each stage has to do.
        self.lanes = LaneReader(self.client.wire, settings)
        #: Checks, previews and tests of nodes.
        self.nodes = NodeDesk(settings)
        #: Runs the replay jobs that are started over HTTP.
        self.replays = ReplayRunner(settings.gateway.replays, self.telemetry)
        #: It accepts no more work.
        self.stopping = False
        #: Requests that wait for a result now.
        self.waiting = 0
        self._connected = asyncio.Event()
        self._lost_at_s = 0.0
        self._away: asyncio.TimerHandle | None = None
        self._scopes: set[asyncio.Timeout] = set()
        self._checking: asyncio.Task[None] | None = None
        self._farewells: list[Callable[[], Awaitable[None]]] = [self.hub.farewell, self.replays.stop]

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        self._connected.set()
        if self.authenticate is self.access:
            self._checking = asyncio.create_task(self._check_streams())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._checking is not None:
            self._checking.cancel()
        self._stay()
        await self.hub.close()
        await self.replays.close()
        await self.shared.close()
        await self.results.close()
        await self.client.__aexit__(*error)
        await self.access.close()
        self.database.close()

    @property
    def wire(self) -> RequestMultiplexer:
        """Calls to the broker, for the functions of ``infra.inspect`` and ``infra.replay``."""
        return self.client.wire

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker now."""
        return self._connected.is_set()

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return round(self.clock() * 1000)

    def problems(self) -> tuple[str, ...]:
        """What keeps it from working; nothing: it is ready."""
        if self.stopping:
            return ("the gateway is stopping",)
        return () if self.connected else ("there is no connection to the broker",)

    async def require_broker(self) -> None:
        """Wait a moment for a lost connection.

        Raises:
            Unavailable: it did not come back.
        """
        if self._connected.is_set():
            return
        try:
            await asyncio.wait_for(self._connected.wait(), _AWAY_S)
        except TimeoutError:
            raise Unavailable(f"there is no connection to the broker at {self.client.url}") from None

    @contextlib.asynccontextmanager
    async def wait(self, request_id: str | None = None) -> AsyncGenerator[None, None]:
        """The time in which a request waits for the broker or a result; a stopping gateway ends it.

        Args:
            request_id: the generation request that is waited for.

        Raises:
            Problem: 503, too many requests wait, or the gateway stops.
        """
        if self.waiting >= self.settings.gateway.waiting:
            raise Problem(
                503,
                "busy",
                f"{self.waiting} requests wait already, which is the limit (gateway.waiting)",
                headers={"Retry-After": str(BUSY_S)},
            )
        self.waiting += 1
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes.add(scope)
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            raise Problem(
                503,
                "stopping",
                "the gateway stops; the request goes on, ask again with the same Idempotency-Key",
                request_id=request_id,
                headers={"Retry-After": str(BUSY_S)},
            ) from None
        finally:
            self._scopes.discard(scope)
            self.waiting -= 1

    async def query(self, read: Callable[[Engine], T], *, missing: T) -> T:
        """Read the audit's database, as :meth:`GatewayDatabase.query`."""
        return await self.database.query(read, missing=missing)

    async def update(self, change: Callable[[Engine], T]) -> T:
        """Change the audit's database, as :meth:`GatewayDatabase.update`."""
        return await self.database.update(change)

    async def prepare_database(self) -> Engine:
        """The audit's database with all its tables, shared by all routes: do not dispose of it.

        Raises:
            DatabaseError: it cannot be used; the text says what to do.
        """
        return await self.database.update(lambda engine: engine)

    def audit_engine(self) -> Engine | None:
        """The audit's database, shared by all routes: do not dispose of it; ``None``: there is none yet."""
        return self.database.engine()

    def open_audit(self) -> Engine:
        """A database of its own for a function that disposes of it, as :meth:`GatewayDatabase.open`."""
        return self.database.open()

    def on_stop(self, farewell: Callable[[], Awaitable[None]]) -> None:
        """Call something when the gateway begins to stop: what ends streams, for instance."""
        self._farewells.append(farewell)

    async def begin_stop(self) -> None:
        """Accept no more work, and notify who asked for it; waits go on until :meth:`end_waits`."""
        self.stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await asyncio.gather(*(each() for each in self._farewells), return_exceptions=True)

    def end_waits(self) -> None:
        """End every wait with 503; the requests themselves go on."""
        now = asyncio.get_running_loop().time()
        for scope in tuple(self._scopes):
            scope.reschedule(now)

    async def _check_streams(self) -> None:
        while True:
            await asyncio.sleep(ACCESS_CHECK_S)
            await self.hub.check_access(self.access.admits)

    def _lost(self, url: str) -> None:
        self._connected.clear()
        self._lost_at_s = time.monotonic()
        self._stay()
        # A stream that goes on looks like a pipeline in which nothing happens.
        self._away = asyncio.get_running_loop().call_later(_AWAY_S, self.hub.end_all, "broker")
        self.telemetry.emit(ConnectionLost(stages=(NAME,), broker=url))

    def _stay(self) -> None:
        """Let streams of events go on."""
        if self._away is not None:
            self._away.cancel()
            self._away = None

    def _back(self, url: str) -> None:
        self._stay()
        self._connected.set()
        seconds = round(time.monotonic() - self._lost_at_s, 1)
        self.telemetry.emit(ConnectionRestored(stages=(NAME,), broker=url, seconds=seconds))


async def _gateway_of(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


#: Parameter of a route: the gateway.
Here = Annotated[Gateway, Depends(_gateway_of)]
