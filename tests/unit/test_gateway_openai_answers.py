"""OpenAI's API at the gateway: how results are answered, and what of a raw text is kept."""

from __future__ import annotations

from typing import Any

import pytest
from understudy_client import Progress, Result
from understudy_client.result import Cost, Meta, StandIn, Tokens

from infra.gateway.openai_api.call_stream import WrittenText
from infra.gateway.openai_api.model_answer import build_answer, check_result
from infra.gateway.openai_api.model_names import served_by
from infra.gateway.problems import Problem


def _result(**members: Any) -> Result:
    return Result(request_id="r-1", kind="layout", **members)


def test_the_model_is_what_served() -> None:
    meta = Meta(provider="box", model="qwen-x")
    assert served_by(_result(status="success", origin="live", meta=meta)) == "qwen-x"
    assert served_by(_result(status="cached", origin="cache", meta=meta)) == "qwen-x"
    sample = StandIn(name="forest", hash="0")
    stood = _result(status="fail_fallback", origin="golden_sample", stand_in=sample, meta=meta)
    assert served_by(stood) == "understudy/golden_sample:forest"
    assert served_by(_result(status="skipped", origin="none", meta=meta)) == "understudy/none"


@pytest.mark.parametrize(
    ("status", "origin", "live", "refused"),
    [
        ("success", "live", True, None),
        ("cached", "cache", True, None),
        ("fail_fallback", "golden_sample", False, None),
        ("fail_fallback", "golden_sample", True, 503),
        ("placeholder", "placeholder", True, 503),
        ("skipped", "none", True, 503),
        ("success", "scripted", True, 503),
        ("failed", "none", False, 502),
        ("cancelled", "none", True, 409),
        ("rejected", "none", False, 422),
    ],
)
def test_a_result_is_answered_or_refused(
    status: str, origin: str, *, live: bool, refused: int | None
) -> None:
    result = _result(status=status, origin=origin, reason="because")
    if refused is None:
        check_result(result, live=live)
        return
    with pytest.raises(Problem) as caught:
        check_result(result, live=live)
    assert caught.value.status_code == refused
    assert caught.value.more["understudy"]["reason"] == "because"
    assert (caught.value.headers or {})["x-should-retry"] == "false"


def test_usage_is_what_providers_reported() -> None:
    known = _result(
        status="success", origin="live", meta=Meta(cost=Cost(tokens=Tokens(prompt=3, completion=4)))
    )
    assert build_answer(known, now_ms=5000).usage == (3, 4)
    assert build_answer(_result(status="success", origin="live"), now_ms=5000).usage is None
    assert build_answer(known, now_ms=5000).created == 5


def _written(*pieces: tuple[str, int, int, str]) -> tuple[WrittenText, list[str]]:
    written = WrittenText()
    sent: list[str] = []
    for stage, attempt, index, text in pieces:
        sent.append(written.add(Progress(stage=stage, attempt=attempt, index=index, text=text)))
        written.begun = written.begun or bool(sent[-1])
    return written, sent


def test_raw_text_is_the_document_of_one_attempt() -> None:
    written, sent = _written(
        ("freeform-gen", 1, 0, "prose"), ("structuring", 1, 0, '{"a"'), ("structuring", 1, 1, ": 1}")
    )
    assert sent == ["", '{"a"', ": 1}"]
    live = build_answer(_result(status="success", origin="live", content={"a": 1}), now_ms=0)
    written.require_kept(live)
    assert written.is_document(live.text)
    assert not written.is_document('{"a":2}')
    sample = build_answer(_result(status="fail_fallback", origin="golden_sample", content={"a": 1}), now_ms=0)
    with pytest.raises(Problem, match="golden_sample stood in"):
        written.require_kept(sample)


@pytest.mark.parametrize(
    "pieces",
    [
        [("structuring", 1, 0, "{"), ("structuring", 2, 0, "{")],
        [("structuring", 1, 0, "{"), ("structuring", 1, 2, "}")],
    ],
)
def test_raw_text_that_was_written_again_fails(pieces: list[tuple[str, int, int, str]]) -> None:
    written, sent = _written(*pieces)
    assert sent == ["{", ""]
    with pytest.raises(Problem, match="wrote the text again"):
        written.require_kept(build_answer(_result(status="success", origin="live"), now_ms=0))


def test_raw_text_without_its_beginning_is_not_sent() -> None:
    _, sent = _written(("structuring", 1, 3, "x"), ("structuring", 2, 0, "{"))
    assert sent == ["", "{"]
