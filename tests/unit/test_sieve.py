"""Filter of messages: what each word of the vocabulary lets through."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts import events as ev
from contracts.errors import ErrorCode
from infra.inspect import record
from infra.inspect.message_filter import MessageFilter, passes
from infra.inspect.record import LogRecord
from infra.inspect.request_filter import RequestFilter
from infra.nats.log import LogEntry
from tests import lives


def _line(name: str, body: Any, request_id: str, *, kind: str = "layout", stage: str = "audit") -> LogRecord:
    entry = LogEntry(
        stream="EVENTS",
        sequence=1,
        subject=f"gen.{name}.{kind}.{request_id}",
        time_ns=5_000 * 1_000_000,
        headers={"ce-source": f"understudy/{stage}"},
        body=body if isinstance(body, bytes) else msgspec.json.encode(body),
    )
    return record.decode(entry)


_FAILED = ev.Failed(attempt=1, code=ErrorCode.GEN_TIMEOUT, stage="freeform-gen", message="too slow")
_LINES = {
    "asked": _line("requested", b'{"prompt": "a Forest with coins"}', "w-1"),
    "failed": _line("failed", _FAILED, "w-2", stage="freeform-gen"),
    "stood in": _line("result", lives.stand_in("w-3", ErrorCode.GEN_TIMEOUT), "w-3", stage="fallback"),
    "live": _line("result", lives.success("x-1"), "x-1", stage="validate-repair"),
    "plot": _line("requested", b'{"prompt": "a heist"}', "x-2", kind="plot"),
    "junk": _line("result", b"\xff", "x-3"),
}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, set(_LINES)),
        ({"request_id": "w-*"}, {"asked", "failed", "stood in"}),
        ({"request_id": "x-1"}, {"live"}),
        ({"request_id": "?-2"}, {"failed", "plot"}),
        ({"kind": ("plot",)}, {"plot"}),
        ({"status": ("fail_fallback",)}, {"stood in"}),
        ({"origin": ("scripted",)}, {"live"}),
        ({"code": ("GEN_TIMEOUT",)}, {"failed", "stood in"}),
        ({"stage": ("fallback",)}, {"stood in"}),
        ({"provider": "chain-a", "model": "a-1"}, {"stood in"}),
        ({"provider": "chain-a", "model": "script"}, set()),
        ({"prompt_version": "layout@1"}, {"live"}),
        ({"code": ("GEN_POISON", "GEN_TIMEOUT"), "stage": ("freeform-gen",)}, {"failed"}),
        ({"text": "forest WITH"}, {"asked"}),
        ({"since_ms": 5_001}, set()),
        ({"until_ms": 4_999}, set()),
        ({"since_ms": 5_000, "until_ms": 5_001, "kind": ("plot",)}, {"plot"}),
        ({"since_ms": 5_000, "until_ms": 5_000}, set()),
    ],
)
def test_each_word_of_the_vocabulary(wanted: dict[str, Any], found: set[str]) -> None:
    assert {name for name, each in _LINES.items() if passes(each, RequestFilter(**wanted))} == found


def _entry(request_id: str, body: bytes) -> LogEntry:
    subject = f"gen.requested.layout.{request_id}"
    return LogEntry(stream="REQUESTS", sequence=1, subject=subject, time_ns=1, headers={}, body=body)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"workspace": "ws"}, ["seen", "seen result", "stored result"]),
        ({"node": "bridge"}, ["seen", "seen result"]),
        ({"node": "opening"}, ["stored result"]),
        ({"workspace": "ws", "status": ("success",)}, ["seen result", "stored result"]),
        ({"workspace": "other"}, []),
    ],
)
async def test_workspace_and_node_are_those_of_the_request(wanted: dict[str, Any], found: list[str]) -> None:
    stored = {"s-1": _entry("s-1", b'{"prompt": "x", "workspace": "ws", "templateId": "opening"}')}
    asked: list[str] = []

    async def find(request_id: str) -> LogEntry | None:
        asked.append(request_id)
        return stored.get(request_id)

    lines = {
        "seen": _line("requested", b'{"prompt": "x", "workspace": "ws", "node": {"id": "bridge"}}', "w-1"),
        "seen again": _line("requested", b'{"prompt": "y"}', "w-9"),
        "seen result": _line("result", lives.success("w-1"), "w-1"),
        "stored result": _line("result", lives.success("s-1"), "s-1"),
        "unknown result": _line("result", lives.success("u-1"), "u-1"),
    }
    chosen = MessageFilter(RequestFilter(**wanted), find)
    assert [name for name, each in lines.items() if await chosen.passes(each)] == found
    assert set(asked) <= {"s-1", "u-1"}
