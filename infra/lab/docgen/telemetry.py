"""docs/log.md: the catalogue of what happens, with fields, levels and log lines."""

from __future__ import annotations

import logging
from typing import Any, Final, get_type_hints

from infra.lab.docgen import comments, markdown
from infra.lab.docgen.markdown import code, table
from infra.telemetry import (
    broker_events,
    dispatch,
    events,
    gateway_events,
    process_events,
    provider_events,
    store_events,
)
from infra.telemetry.dispatch import TelemetryEvent, name_of
from infra.telemetry.events import MessageEnding
from infra.telemetry.log_lines import WINDOW_S

_MODULES: Final = (events, broker_events, provider_events, store_events, process_events, gateway_events)
#: Values of an example, by type.
_SAMPLES: Final[dict[Any, Any]] = {
    int: 3,
    float: 1.5,
    bool: True,
    int | None: 3,
    float | None: 1.5,
    tuple[str, ...]: ("fallback",),
    dict[str, int]: {"second": 3},
    BaseException: ValueError("why"),
    MessageEnding: MessageEnding.WAITS,
}
#: Where one line does not show it: several, by what differs.
_VARIANTS: Final[dict[type[TelemetryEvent], tuple[dict[str, Any], ...]]] = {
    events.MessageHandled: tuple(
        {"ending": each} for each in (MessageEnding.EMITTED, MessageEnding.WAITS, MessageEnding.HANDED_BACK)
    ),
    events.ResultPublished: tuple(
        {"status": status} for status in ("success", "fail_fallback", "failed", "rejected", "cancelled")
    ),
    provider_events.CircuitChanged: tuple({"state": state} for state in ("open", "half_open", "closed")),
    events.LetterWritten: ({"answered": False}, {"answered": True}),
    process_events.BackgroundFailed: ({"restarted": True}, {"restarted": False}),
}


def catalogue() -> tuple[type[TelemetryEvent], ...]:
    """Every event, in the order of the modules."""
    return tuple(
        found
        for module in _MODULES
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, TelemetryEvent) and found is not TelemetryEvent
    )


def example(event: type[TelemetryEvent], **given: Any) -> TelemetryEvent:
    """An event with a value in every field, by its type: ``<name>`` for a text."""
    hints = get_type_hints(event)
    values = {name: _SAMPLES.get(hints[name], f"<{name}>") for name in event.__struct_fields__}
    return event(**values | given)


def page() -> str:
    """The page."""
    said = comments.of(dispatch, *_MODULES)
    return markdown.page(
        "# What is emitted and logged",
        markdown.notice("infra/telemetry/*events.py"),
        "Everything that happens is an event of this catalogue, emitted once; the log is its first subscriber and "
        "[metrics](telemetry.md#metrics) are the second. `log_format: console` writes the sentence; `json` writes one "
        "object per line with `timestamp`, `level`, `event`, `message` (the sentence) and the fields below. Fields "
        "that are empty are left out. Names and units are stable.",
        f"Lines that repeat each other are counted: after the first ones the rest of {WINDOW_S:g} s is one line that "
        "ends in `, 37 more in the last 10 s` and has the number in `more`.",
        "The supervisor's lines have `component: supervisor`. Prompts and content are in no line.",
        *(_section(event, said[event.__name__]) for event in catalogue()),
        f"## Values\n\n### MessageEnding\n\n{said['MessageEnding'].docstring}\n\n{_endings(said['MessageEnding'])}",
    )


def _section(event: type[TelemetryEvent], said: comments.ClassComments) -> str:
    hints = get_type_hints(event)
    rows = [
        (code(name), _type(hints[name]), said.fields.get(name, ""))
        for name in event.__struct_fields__
        if hints[name] is not BaseException
    ]
    trace = (
        "\n\nThe line has the traceback, in JSON as `exception`." if BaseException in hints.values() else ""
    )
    lines = [example(event, **given) for given in _VARIANTS.get(event, ({},))]
    shown = "\n".join(f"{logging.getLevelName(each.level).lower():<7} {each}" for each in lines)
    fields = table(("field", "type", "meaning"), rows) if rows else ""
    return f"## {name_of(event)}\n\n{said.docstring}\n\n```text\n{shown}\n```\n\n{fields}{trace}"


def _endings(said: comments.ClassComments) -> str:
    return table(
        ("value", "meaning"), [(code(each), said.fields.get(each.name, "")) for each in MessageEnding]
    )


def _type(hint: Any) -> str:
    if isinstance(hint, type) and issubclass(hint, MessageEnding):
        return "[MessageEnding](#messageending)"
    return {
        "int | None": "integer",
        "float | None": "number",
        "tuple[str, ...]": "list of texts",
        "dict[str, int]": "numbers by name",
    }.get(str(hint), {str: "text", int: "integer", float: "number", bool: "yes or no"}.get(hint, str(hint)))
