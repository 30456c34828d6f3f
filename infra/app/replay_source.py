"""Source of a replay: what was selected, as the command line has it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contracts import timestamp
from contracts.redaction import redact_text

if TYPE_CHECKING:
    from infra.inspect.request_filter import RequestFilter

#: Ids and numbers that a source names.
_NAMED: Final = 20


def format_source(
    wanted: RequestFilter,
    limit: int | None,
    *,
    ids: Sequence[str] = (),
    what: str = "requests",
    words: bool = True,
) -> str:
    """A selection in words.

    Args:
        wanted: its filter.
        limit: at most as many; none: all.
        ids: only these; none: all.
        what: what is selected.
        words: with the text that is searched for; otherwise its hash and length.
    """
    given: dict[str, Any] = msgspec.to_builtins(wanted)
    if wanted.text is not None and not words:
        given["text"] = redact_text(wanted.text)
    for name in ("since_ms", "until_ms"):
        if name in given:
            given[name.removesuffix("_ms")] = timestamp.format_ms(given.pop(name))
    if "request_id" in given:
        given = {"id": given.pop("request_id"), **given}
    if limit is not None:
        given["limit"] = limit
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    named = [f"{', '.join(ids[:_NAMED])}{more}"] if ids else []
    return " ".join([what, *named, *(_option(name, value) for name, value in given.items())])


def _option(name: str, value: Any) -> str:
    option = f"--{name.replace('_', '-')}"
    if value is True:
        return option
    return f"{option} {shlex.quote(','.join(value) if isinstance(value, list | tuple) else str(value))}"
