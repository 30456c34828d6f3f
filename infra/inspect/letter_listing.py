"""Listing of dead letters: pages from the newest on, groups, and the JSON of one letter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import pipeline
from contracts.errors import ErrorCode
from contracts.timestamp import format_ms
from infra.inspect import dead_letters
from infra.inspect.dead_letters import LetterFilter
from infra.inspect.letter_faults import find_field
from infra.inspect.record import preview
from infra.nats import log

if TYPE_CHECKING:
    from infra.inspect.dead_letters import Letter
    from infra.inspect.request_filter import RequestFilter
    from infra.nats.log import LogEntry
    from infra.nats.multiplexer import RequestMultiplexer

#: Messages that are read at once, backwards.
_PART: Final = 200
#: Characters of a payload that is no JSON.
_SHOWN: Final = 1200


def _whole(letter: Letter) -> Letter:
    return letter


class LetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one stage, code and field."""

    #: ``None``: the letter does not say.
    stage: str | None
    code: ErrorCode | None
    #: JSON Pointer of the first field that the reason names, with ``*`` for each place in a list; ``None``: none.
    field: str | None
    letters: int
    #: The newest letter: its number, time and reason.
    last: int
    time: str
    reason: str
    #: When the oldest one came.
    since: str


async def read_page(
    wire: RequestMultiplexer,
    where: RequestFilter,
    *,
    limit: int,
    before: int | None = None,
    field: str | None = None,
    view: Callable[[Letter], Letter] = _whole,
) -> tuple[list[Letter], int | None]:
    """A page of the letters that match, newest first, and the number that the next page comes before.

    Args:
        wire: an open wire.
        where: the filter.
        limit: letters at most.
        before: only letters with a lower number; none: the first page.
        field: only letters whose reason names this field first, as :class:`LetterGroup` has it.
        view: what of each letter is shown.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
    """
    found: list[Letter] = []
    async for each in _read_backwards(wire, where, before):
        letter = view(each)
        if field is not None and find_field(letter) != field:
            continue
        if len(found) == limit:
            return found, found[-1].sequence
        found.append(letter)
    return found, None


async def count_groups(
    wire: RequestMultiplexer, where: RequestFilter, *, view: Callable[[Letter], Letter] = _whole
) -> list[LetterGroup]:
    """The letters that match by stage, code and field, the largest groups first.

    Args:
        wire: an open wire.
        where: the filter.
        view: what of each letter is shown.

    Raises:
        StreamMissing, Unavailable: as :func:`infra.nats.log.read`.
    """
    newest: dict[tuple[str | None, ErrorCode | None, str | None], Letter] = {}
    oldest: dict[tuple[str | None, ErrorCode | None, str | None], Letter] = {}
    counts: dict[tuple[str | None, ErrorCode | None, str | None], int] = {}
    async for each in dead_letters.find(wire, where):
        letter = view(each)
        key = (letter.stage, letter.code, find_field(letter))
        oldest.setdefault(key, letter)
        newest[key] = letter
        counts[key] = counts.get(key, 0) + 1
    return [
        LetterGroup(
            stage=key[0],
            code=key[1],
            field=key[2],
            letters=counts[key],
            last=newest[key].sequence,
            time=format_ms(newest[key].time_ms),
            reason=newest[key].reason,
            since=format_ms(oldest[key].time_ms),
        )
        for key in sorted(counts, key=lambda each: (-counts[each], -newest[each].sequence))
    ]


async def _read_backwards(
    wire: RequestMultiplexer, where: RequestFilter, before: int | None
) -> AsyncIterator[Letter]:
    first, end = await log.bounds(wire, pipeline.DEAD)
    end = end if before is None else min(before, end)
    if where.one_id is not None:
        # The letters of one request are few, and the broker finds them.
        few = [each async for each in dead_letters.find(wire, where) if each.sequence < end]
        for letter in reversed(few):
            yield letter
        return
    chosen = LetterFilter(where, partial(log.owner, wire))
    while end > first:
        start = max(first, end - _PART)
        part: list[LogEntry] = []
        async for entry in log.read(wire, pipeline.DEAD, ">", start=start):
            if pipeline.is_foreign(entry.stream, entry.subject):
                continue
            if entry.sequence >= end:
                break
            part.append(entry)
        for entry in reversed(part):
            letter = dead_letters.read(entry)
            if where.since_ms is not None and letter.time_ms < where.since_ms:
                return
            if await chosen.passes(letter):
                yield letter
        end = start


def to_json(letter: Letter) -> dict[str, Any]:
    """The object that ``dead ls --json`` has for each letter."""
    return {
        "sequence": letter.sequence,
        "time": format_ms(letter.time_ms, "microseconds"),
        "stage": letter.stage,
        "kind": letter.kind,
        "request_id": letter.request_id,
        "code": letter.code,
        "reason": letter.reason,
        "advisory": letter.advisory,
        "subject": letter.letter.subject if letter.letter else None,
        "stream": letter.stream,
        "stream_sequence": letter.stream_sequence,
    }


def to_full_json(letter: Letter) -> dict[str, Any]:
    """The object that ``dead show --json`` prints."""
    return to_json(letter) | {"letter": letter.data, "payload": read_payload(letter)}


def read_payload(letter: Letter) -> Any:
    """The dead message's body: JSON values where it is JSON, else printable text."""
    body = letter.letter.body if letter.letter else None
    if body is None:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return preview(body, _SHOWN)
