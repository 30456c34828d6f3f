"""Filter of messages: whether an event of the log matches a request filter."""

from __future__ import annotations

from typing import Any

from contracts import events as ev
from infra.inspect.record import LogRecord
from infra.inspect.request_filter import RequestFilter


def passes(record: LogRecord, where: RequestFilter) -> bool:
    """Whether a message matches; a field that it does not have does not match.

    ``workspace``, ``node`` and ``prompt_version`` are compared elsewhere: most messages do not have them.
    """
    return (
        where.matches_id(record.request_id)
        and (not where.kind or record.kind in where.kind)
        and (not where.stage or record.stage in where.stage)
        and (not where.status or getattr(record.body, "status", None) in where.status)
        and (not where.origin or getattr(record.body, "origin", None) in where.origin)
        and (not where.code or _code(record) in where.code)
        and (where.provider is None or any(where.provider == each for each, _ in _writers(record)))
        and (where.model is None or any(where.model == each for _, each in _writers(record)))
        and where.matches_time(record.time_ns // 1_000_000)
        and (where.text is None or contains_text(record.data, where.text))
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
