"""Progress of a plot's scenes, read from the event log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from contracts import envelope, pipeline, subjects
from contracts.errors import NewerVersion, Unreadable
from contracts.events import Plotted
from contracts.ports import Ending, RequestProgress
from contracts.result import Origin, Status

if TYPE_CHECKING:
    from infra.nats.lookup import Lookup

_decode = msgspec.json.Decoder(Ending).decode


class LoggedScenes:
    """Reads plots and their scenes; implements :class:`contracts.ports.SceneLog`."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def seen(self, request_ids: Sequence[str]) -> Mapping[str, RequestProgress]:
        """Read the progress of each request.

        Raises:
            Unavailable: the broker does not answer.
        """
        endings, owners = await asyncio.gather(
            self._endings(request_ids),
            asyncio.gather(*(self._lookup.first_request(each) for each in request_ids)),
        )
        return {
            each: RequestProgress(owner=owner, ending=endings.get(each))
            for each, owner in zip(request_ids, owners, strict=True)
        }

    async def plotted(self, request_id: str) -> Plotted | None:
        """Find the plot that waits for its scenes; ``None``: there is none, or this version cannot read it.

        Raises:
            Unavailable: the broker does not answer.
        """
        found = await self._lookup.first(pipeline.EVENTS, subjects.any_kind("plotted", request_id))
        if found is None:
            return None
        try:
            event = envelope.decode("plotted", found.body, found.headers)
        except (Unreadable, NewerVersion):
            return None
        return event if isinstance(event, Plotted) else None

    async def _endings(self, request_ids: Sequence[str]) -> dict[str, Ending]:
        filters = [subjects.any_answer(each) for each in request_ids]
        found = await self._lookup.last_of_each(pipeline.EVENTS, filters)
        return {entry.subject.rpartition(".")[2]: _ending(entry.body) for entry in found}


def _ending(body: bytes) -> Ending:
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        # It is the stored result of its request: there will be no other.
        return Ending(status=Status.FAILED, origin=Origin.NONE, reason=f"its result cannot be read: {error}")
