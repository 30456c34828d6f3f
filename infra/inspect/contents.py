"""Contents of a request's events: the prompt, what providers wrote, and the result's document."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from contracts import events as ev
from infra.inspect.record import LogRecord
from infra.inspect.timeline import Timeline


class ContentPart(msgspec.Struct, frozen=True, kw_only=True):
    """One text or document of a request."""

    title: str
    #: A text as it came, or a JSON value.
    value: Any


def list_contents(timeline: Timeline) -> tuple[ContentPart, ...]:
    """List everything that a request's events contain, in the order of its events; nothing twice."""
    found: dict[str, ContentPart] = {}
    for step in timeline.steps:
        for title, value in _contents(step.line):
            again = found.get(title)
            if again is None or again.value != value:
                named = title if again is None else f"{title} (sequence {step.line.seq})"
                found[named] = ContentPart(title=named, value=value)
    return tuple(found.values())


def _contents(line: LogRecord) -> list[tuple[str, Any]]:
    match line.body:
        case ev.ContextBuilt(attempt=attempt, brief=brief):
            return [(f"rendered prompt, attempt {attempt}", brief.prompt)]
        case ev.Drafted(attempt=attempt, draft=draft, brief=brief):
            before = (
                [(f"draft before enhancement, attempt {attempt}", draft.original)] if draft.original else []
            )
            # Unlike the prompt of the event before, if more was said about the wish.
            return [
                (f"rendered prompt, attempt {attempt}", brief.prompt),
                *before,
                (f"draft, attempt {attempt}", draft.text),
            ]
        case ev.Structured(attempt=attempt, document=document, reask=reask):
            asked = f", re-ask {reask}" if reask else ""
            return [(f"document, attempt {attempt}{asked}", document.text)]
        case ev.Failed(evidence=evidence) | ev.DeadLetter(evidence=evidence) if evidence:
            return [("last output of the provider", evidence)]
        case ev.Result() | ev.Revised() as result:
            return _result(result)
        case _:
            data = cast("dict[str, Any]", line.data) if isinstance(line.data, dict) else {}
            return [("request", data)] if line.event == "requested" and data else []


def _result(result: ev.Result | ev.Revised) -> list[tuple[str, Any]]:
    title = "content"
    if isinstance(result, ev.Revised):
        title = "content that came later" if result.undoes is None else "content restored by an undo"
    if result.content is not None:
        return [(title, result.content)]
    if result.content_ref is not None:
        size = result.content_ref.size
        return [(title, f"{size:,} bytes in the object store; `understudy result` prints them")]
    return []
