"""Client of the pipeline for its own tools: connected as the settings say, with the event log beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import msgspec
import understudy_client
from nats import errors as nats_errors
from understudy_client.client import LOST_S
from understudy_client.connection import without_password

from contracts import events as ev
from contracts import request, scenes, subjects
from contracts.errors import Unreadable
from contracts.kinds import KINDS
from contracts.lineage import find_id_fault
from contracts.pipeline import OPERATOR
from contracts.request import RequestError
from infra.app import timeouts
from infra.nats.connection import broker_url, dial
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings.settings import Settings

if TYPE_CHECKING:
    from nats.aio.client import Client as Connection
    from understudy_client.session import Listen


class _Dialer:
    """Opens the one connection that client and log share.

    Args:
        where: the broker's URL, or the settings that say where it is.
        role: whose key is taken.
        wire: calls of the log.
    """

    def __init__(self, where: str | Settings, role: str, wire: RequestMultiplexer) -> None:
        self._where = where
        self._role = role
        self._wire = wire

    async def open(
        self, *, on_reconnect: Callable[[], None], on_disconnect: Callable[[], None]
    ) -> tuple[Connection, str]:
        """Connect; the errors name the settings.

        Raises:
            infra.nats.connection.Unreachable: no broker answers, or none is known.
        """

        def reconnected() -> None:
            self._wire.renew()
            on_reconnect()

        def disconnected() -> None:
            self._wire.suspend()
            on_disconnect()

        url = self._where if isinstance(self._where, str) else broker_url(self._where)
        connection = await dial(
            self._where,
            name="understudy-client",
            role=self._role,
            on_reconnect=reconnected,
            on_disconnect=disconnected,
        )
        await self._wire.open(connection)
        return connection, without_password(url)


class PipelineClient(understudy_client.Client):
    """The client, and calls to the broker over the same connection.

    Args:
        where: the broker's URL, or the settings that say where it is.
        role: whose key is taken, where the settings have a folder of keys.
        on_lost: called with the broker's URL each time that the connection is lost.
        on_back: called with it each time that the connection is back.
        lost_s: seconds without a connection after which a wait ends.
    """

    def __init__(
        self,
        where: str | Settings,
        *,
        role: str = OPERATOR,
        on_lost: Callable[[str], None] | None = None,
        on_back: Callable[[str], None] | None = None,
        lost_s: float = LOST_S,
    ) -> None:
        #: Calls to the broker over this connection.
        self.wire = RequestMultiplexer()
        self._templates = None if isinstance(where, str) else where.templates_dir
        self._default_ms = request.DEFAULT_DEADLINE_MS if isinstance(where, str) else where.deadline_ms
        super().__init__(
            _Dialer(where, role, self.wire),
            on_lost=on_lost,
            on_back=on_back,
            lost_s=lost_s,
            deadline_ms=self._default_ms,
        )

    async def __aenter__(self) -> Self:
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        with contextlib.suppress(OSError, nats_errors.Error):
            await self.wire.close()
        await super().__aexit__(*error)

    def listen_with(self, listen: Listen) -> Listen:
        """Let waiting calls hear of results in another way; returns the way until now."""
        before, self._session.listen = self._session.listen, listen
        return before

    def timeout_s(self, checked: request.GenerationRequest) -> float:
        """Seconds within which a request's result should come; its template and rules count too."""
        return timeouts.seconds(checked, default_deadline_ms=self._default_ms, templates=self._templates)


def check(kind: str, request_id: str, body: bytes) -> request.GenerationRequest:
    """Check a request as the pipeline will.

    Raises:
        RequestError: naming the field and the fix.
    """
    if kind not in KINDS:
        raise RequestError("kind", f"{kind!r} is unknown; use one of {', '.join(KINDS)}")
    if subjects.REQUEST_ID.fullmatch(request_id) is None:
        raise RequestError("id", f"{request_id!r} must match {subjects.REQUEST_ID.pattern}")
    asked = request.read(body, kind)
    scenes.check_id(asked, request_id)
    misnamed = find_id_fault(asked.lineage, request_id)
    if misnamed is not None:
        raise RequestError("", misnamed)
    return asked


def checked(result: understudy_client.Result) -> ev.Result:
    """The client's result as the pipeline's own event.

    Raises:
        Unreadable: it claims what it is not.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(result), ev.Result)
    except msgspec.ValidationError as error:
        raise Unreadable(f"the result of {result.request_id} cannot be read: {error}") from None
