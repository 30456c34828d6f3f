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
    """Conditions that must all hold; a field left out matches everything."""

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
    #: Earliest broker timestamp, ms since the epoch.
    since_ms: int | None = None
    #: Broker timestamp before which it must be, ms since the epoch.
    until_ms: int | None = None
    #: Part of the text; upper and lower case are equal.
    text: str | None = None

    @property
    def empty(self) -> bool:
        """Whether everything matches."""
        return self == Filters()

    @property
    def one_id(self) -> str | None:
        """The id, unless it is a pattern."""
        return None if self.request_id is None or has_wildcards(self.request_id) else self.request_id


def has_wildcards(pattern: str) -> bool:
    """Whether a pattern of ids has wildcards."""
    return bool(_WILD & set(pattern))


def id_matches(wanted: str | None, request_id: str | None) -> bool:
    """Whether an id matches a pattern; without a pattern every id does."""
    return wanted is None or (request_id is not None and fnmatchcase(request_id, wanted))


def passes(record: LogRecord, wanted: Filters) -> bool:
    """Whether a message matches; a field that it does not have does not match."""
    time_ms = record.time_ns // 1_000_000
    return (
        id_matches(wanted.request_id, record.request_id)
        and wanted.kind in (None, record.kind)
        and wanted.stage in (None, record.stage)
        and wanted.status in (None, getattr(record.body, "status", None))
        and wanted.origin in (None, getattr(record.body, "origin", None))
        and wanted.code in (None, _code(record))
        and (wanted.provider is None or any(wanted.provider == each for each, _ in _writers(record)))
        and (wanted.model is None or any(wanted.model == each for _, each in _writers(record)))
        and (wanted.since_ms is None or time_ms >= wanted.since_ms)
        and (wanted.until_ms is None or time_ms < wanted.until_ms)
        and (wanted.text is None or contains_text(record.data, wanted.text))
    )


def contains_text(data: Any, text: str) -> bool:
    """Whether a string within JSON values contains a text; upper and lower case are equal."""
    wanted = text.casefold()
    left = [data]
    while left:
        match left.pop():
            case str(value):
                if wanted in value.casefold():
                    return True
            case dict(fields):
                left += fields.values()
            case list(items):
                left += items
            case _:
                pass
    return False


def _code(record: LogRecord) -> str | None:
    match record.body:
        case ev.Failed(code=code) | ev.DeadLetter(code=code):
            return code
        case ev.Result(error=error) | ev.Revised(error=error) if error is not None:
            return error.code
        case _:
            return None


def _writers(record: LogRecord) -> list[tuple[str | None, str | None]]:
    """Providers and models that wrote the content, and those that were called."""
    match record.body:
        case ev.Drafted(draft=made) | ev.Structured(document=made):
            return [(made.provider, made.model)]
        case ev.Result(meta=meta, attempts=attempts) | ev.Revised(meta=meta, attempts=attempts):
            return [(meta.provider, meta.model), *((each.provider, each.model) for each in attempts)]
        case ev.Failed(trail=trail):
            return [(each.provider, each.model) for each in trail.attempts]
        case _:
            return []
