"""Filters of requests, events and letters: the same words everywhere."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from contracts import events as ev
from infra.inspect.record import LogRecord

#: What a pattern of ids may be: ``*`` for any characters, ``?`` for one.
PATTERN: Final = re.compile(r"[A-Za-z0-9_:@*?-]{1,64}")
_WILD: Final = frozenset("*?")


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted; everything that is left out matches."""

    #: Wildcards allowed.
    request_id: str | None = None
    kind: str | None = None
    status: str | None = None
    origin: str | None = None
    #: Error code.
    code: str | None = None
    stage: str | None = None
    provider: str | None = None
    model: str | None = None
    workspace: str | None = None
    node: str | None = None
    #: First broker timestamp, ms since the epoch.
    since_ms: int | None = None
    #: Broker timestamp before which it was, ms since the epoch.
    until_ms: int | None = None
    #: Part of the text, in any case.
    text: str | None = None

    @property
    def empty(self) -> bool:
        """Nothing is said: everything matches."""
        return self == Filters()

    @property
    def one_id(self) -> str | None:
        """The id, where one is meant and not several."""
        return None if self.request_id is None or wild(self.request_id) else self.request_id


def wild(pattern: str) -> bool:
    """Does it mean several ids?"""
    return bool(_WILD & set(pattern))


def has_id(wanted: str | None, request_id: str | None) -> bool:
    """Is an id meant by a pattern?"""
    return wanted is None or (request_id is not None and fnmatchcase(request_id, wanted))


def passes(line: LogRecord, wanted: Filters) -> bool:
    """Is this message wanted?  What it does not say about itself does not match."""
    time_ms = line.time_ns // 1_000_000
    return (
        has_id(wanted.request_id, line.request_id)
        and wanted.kind in (None, line.kind)
        and wanted.stage in (None, line.stage)
        and wanted.status in (None, getattr(line.body, "status", None))
        and wanted.origin in (None, getattr(line.body, "origin", None))
        and wanted.code in (None, _code(line))
        and (wanted.provider is None or any(wanted.provider == each for each, _ in _writers(line)))
        and (wanted.model is None or any(wanted.model == each for _, each in _writers(line)))
        and (wanted.since_ms is None or time_ms >= wanted.since_ms)
        and (wanted.until_ms is None or time_ms < wanted.until_ms)
        and (wanted.text is None or says(line.data, wanted.text))
    )


def says(data: Any, text: str) -> bool:
    """Does any text within JSON values contain a text, in any case?"""
    wanted = text.casefold()
    left = [data]
    while left:
        match left.pop():
            case str(said):
                if wanted in said.casefold():
                    return True
            case dict(fields):
                left += fields.values()
            case list(items):
                left += items
            case _:
                pass
    return False


def _code(line: LogRecord) -> str | None:
    match line.body:
        case ev.Failed(code=code) | ev.DeadLetter(code=code):
            return code
        case ev.Result(error=error) | ev.Revised(error=error) if error is not None:
            return error.code
        case _:
            return None


def _writers(line: LogRecord) -> list[tuple[str | None, str | None]]:
    """Who wrote what the message carries, and who was asked."""
    match line.body:
        case ev.Drafted(draft=made) | ev.Structured(document=made):
            return [(made.provider, made.model)]
        case ev.Result(meta=meta, attempts=attempts) | ev.Revised(meta=meta, attempts=attempts):
            return [(meta.provider, meta.model), *((each.provider, each.model) for each in attempts)]
        case ev.Failed(trail=trail):
            return [(each.provider, each.model) for each in trail.attempts]
        case _:
            return []
