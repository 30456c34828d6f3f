"""Text of a request while a model writes it, from the gateway's stream of events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from understudy_client.errors import IdTaken
from understudy_client.result import Progress

if TYPE_CHECKING:
    from understudy_client.http.transport import HttpTransport
    from understudy_client.identity import RequestIdentity


class _Event(msgspec.Struct, frozen=True):
    """What the gateway says of one message of the log."""

    kind: str | None = None
    data: Any = None


_decode: Final = msgspec.json.Decoder(_Event).decode


async def follow(transport: HttpTransport, expected: RequestIdentity) -> AsyncGenerator[Progress, None]:
    """Yield the pieces of text of one request; ends when its result is stored.

    Raises:
        IdTaken: the id belongs to a request of another kind than the one that is meant.
        BrokerLost: the gateway was away for too long.
        ClientError: it refuses.
    """
    request_id = expected.request_id
    path = f"/api/v1/generations/{quote(request_id, safe='')}/events"
    async with contextlib.aclosing(transport.events(path, request_id=request_id)) as events:
        async for event in events:
            try:
                said = _decode(event.data)
            except (msgspec.MsgspecError, RecursionError):
                continue
            if expected.kind is not None and said.kind not in (None, expected.kind):
                raise IdTaken(request_id, said.kind or "", None, expected=expected.kind, place="it exists")
            if event.event == "progress":
                with contextlib.suppress(msgspec.ValidationError):
                    yield msgspec.convert(said.data, Progress)
