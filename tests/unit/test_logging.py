"""Does the log go where people look, and can it end those who write it?"""

from __future__ import annotations

import io
import sys
import time

import pytest
import structlog

from infra.settings.settings import load
from infra.telemetry import logging


@pytest.fixture(autouse=True)
def configured():
    before = structlog.get_config()
    logging.configure(load(log_level="info", log_format="json"))
    yield
    structlog.configure(**before)


def test_lines_go_to_what_is_standard_error_now(monkeypatch) -> None:
    log = structlog.get_logger()
    for name in ("first", "second"):
        shown = io.StringIO()
        monkeypatch.setattr(sys, "stderr", shown)
        log.info(name)
        assert f'"event": "{name}"' in shown.getvalue()


def test_a_log_that_nobody_reads_ends_nobody(monkeypatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    with pytest.raises(ValueError, match="closed"):
        sys.stderr.write("x")
    structlog.get_logger().error("nobody reads this")


def deep(levels: int, prompt: str) -> None:
    if levels:
        deep(levels - 1, prompt)
    raise AttributeError("no attribute 'content'")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_defect_says_where_and_none_of_the_values(monkeypatch, log_format: str) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    logging.configure(load(log_format=log_format))
    log = structlog.get_logger()
    try:
        deep(300, "the prompt " * 10_000)
    except AttributeError:
        began = time.process_time()
        log.exception("defect in a stage", problem="x" * 100_000)
        spent = time.process_time() - began
    told = shown.getvalue()
    assert "AttributeError: no attribute 'content'" in told
    assert "test_logging.py:" in told
    assert "the prompt" not in told
    assert len(told) < 10_000
    assert spent < 0.05


def test_a_traceback_tells_what_an_error_came_from() -> None:
    def chained() -> None:
        try:
            _ = {}["inner"]
        except KeyError as error:
            raise ValueError("outer " + "x" * 1000) from error

    with pytest.raises(ValueError, match="outer") as found:
        chained()
    lines = logging.traceback(found.value).splitlines()
    assert [line[:20] for line in lines if not line.startswith("  ")] == [
        "ValueError: outer xx",
        "caused by KeyError: ",
    ]
    assert max(map(len, lines)) < 300


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_strangers_text_reaches_no_terminal_as_it_is(monkeypatch, log_format: str) -> None:
    nowhere = io.StringIO()
    monkeypatch.setattr(sys, "stderr", nowhere)
    logging.configure(load(log_format=log_format))
    foreign = "a\x1b[2J\x9b31m\u202e\ud800b"
    structlog.get_logger().error("happened", message=f"rejected {foreign}", exc_info=ValueError(foreign))
    written = nowhere.getvalue()
    assert written.count("rejected a\\") == 1
    assert all(each.isprintable() or each == "\n" for each in written)
