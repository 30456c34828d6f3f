"""Lines of a tail: on a busy terminal, in a file, and the notes that they carry."""

from __future__ import annotations

import msgspec
import pytest
from rich.console import Console

from infra.cli import console, tail
from infra.inspect import record
from infra.inspect.record import LogRecord
from infra.inspect.tail_fold import ORDINARY
from infra.nats.log import LogEntry
from tests import lives


def _line(name: str, body: object, request_id: str) -> LogRecord:
    entry = LogEntry(
        stream="EVENTS",
        sequence=1,
        subject=f"gen.{name}.layout.{request_id}",
        time_ns=1,
        headers={},
        body=msgspec.json.encode(body),
    )
    return record.decode(entry)


def _print(lines: list[LogRecord], *, folds: bool, follow: bool = True) -> None:
    shown = tail._TextLines(folds=folds)
    if follow:
        shown.follow()
    for line in lines:
        shown.add(line)
    shown.finish()
    assert shown.lines == len(lines)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a wide terminal, and no second passes."""
    monkeypatch.setattr(console, "people", lambda: Console(force_terminal=True, width=200, color_system=None))
    monkeypatch.setattr(tail.time, "monotonic", lambda: 5.0)


_ASKED = [_line("requested", {"prompt": "a forest"}, f"r-{number}") for number in range(ORDINARY + 30)]


@pytest.mark.usefixtures("terminal")
def test_a_busy_terminal_gets_some_lines_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    _print(_ASKED, folds=True)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == ORDINARY + 1
    assert out[-1].endswith("… 30 more of 30 requests: 30 requested; --all shows each")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("folds", "follow"), [(False, True), (True, False)])
def test_the_past_and_all_have_a_line_for_each_event(
    capsys: pytest.CaptureFixture[str], *, folds: bool, follow: bool
) -> None:
    _print(_ASKED, folds=folds, follow=follow)
    assert len(capsys.readouterr().out.splitlines()) == len(_ASKED)


def test_a_file_gets_every_line_whole(capsys: pytest.CaptureFixture[str]) -> None:
    long = _line("failed", {"attempt": 1, "code": "GEN_TIMEOUT", "stage": "s", "message": "x" * 300}, "r-1")
    _print([*_ASKED, long], folds=True)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == len(_ASKED) + 1
    assert out[-1].endswith("x" * 300)


def test_a_deadline_after_the_result_says_that_it_has_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    deadline = {"request_seq": 1, "deadline_ms": 60_000}
    _print(
        [
            _line("result", lives.success("r-1"), "r-1"),
            _line("deadline", deadline, "r-1"),
            _line("deadline", deadline, "r-2"),
        ],
        folds=True,
    )
    _, ended, running = capsys.readouterr().out.splitlines()
    assert ended.endswith("(no effect: the request has ended)")
    assert running.endswith("after 60 s")
