"""Progress messages: text for watchers while a model writes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import events as ev
from contracts import subjects
from contracts.policy.quoting import truncate

if TYPE_CHECKING:
    from nats.aio.client import Client

#: Seconds between two messages: few enough for the broker, quick enough for a reader.
INTERVAL_S: Final = 0.05
#: Bytes of text in one message: what a model writes in that time, many times over.
_MOST: Final = 256 * 1024


class Announcer:
    """Publishes the text of one provider call, at most once per interval: of a shadow where no client may listen.

    Core NATS: nothing is stored and nobody is waited for.  A call that ends within the first
    interval publishes nothing.
    """

    def __init__(self, *, client: Client, kind: str, request_id: str, stage: str, attempt: int) -> None:
        self._client = client
        event = ev.ShadowProgress if subjects.is_shadow(request_id) else ev.Progress
        self._subject = subjects.gen(event.name, kind, request_id)
        self._stage = stage
        self._attempt = attempt
        self._pieces: list[str] = []
        self._index = 0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def __call__(self, text: str) -> None:
        """Add a piece of text."""
        self._pieces.append(text)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._send)

    def _send(self) -> None:
        self._timer = None
        text = truncate("".join(self._pieces), _MOST)
        self._pieces.clear()
        event = ev.Progress(stage=self._stage, attempt=self._attempt, index=self._index, text=text)
        self._index += 1
        if self._client.is_connected:
            task = asyncio.create_task(self._client.publish(self._subject, msgspec.json.encode(event)))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def close(self) -> None:
        """The call ended: send what is left, if watchers have seen a beginning."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pieces and self._index:
            self._send()
