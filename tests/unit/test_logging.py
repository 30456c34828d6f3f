"""Does the log go where people look, and can it end those who write it?"""

from __future__ import annotations

import io
import sys

import pytest
import structlog

from infra.settings import load
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
