"""Which results cannot be built?"""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest

from contracts.errors import ErrorCode
from contracts.events import Result
from contracts.result import ORIGINS_OF, ErrorInfo, Meta, Origin, StandIn, Status

DISABLED = ErrorInfo(code=ErrorCode.GEN_PROVIDER_DISABLED, stage="freeform-gen", message="no model is wanted")
TIMEOUT = ErrorInfo(code=ErrorCode.GEN_TIMEOUT, stage="fallback", message="too late")


def fields(status: Status, origin: Origin) -> dict[str, Any]:
    """What a true result of this ending says."""
    generated = status in (Status.SUCCESS, Status.CACHED)
    stands_in = origin in (Origin.GOLDEN_SAMPLE, Origin.DEFAULT_CONTENT)
    empty = origin is Origin.NONE
    return {
        "request_id": "r-1",
        "kind": "layout",
        "status": status,
        "origin": origin,
        "reason": None if origin in (Origin.LIVE, Origin.CACHE) else "why",
        "content": None if empty else {"scene_name": "x"},
        "content_hash": None if empty else "0" * 64,
        "error": None if generated else DISABLED if status is Status.CACHED_FALLBACK else TIMEOUT,
        "stand_in": StandIn(name="sample_x.json", hash="0" * 64) if stands_in else None,
        "meta": Meta(provider="scripted" if origin is Origin.SCRIPTED else "local"),
    }


ENDINGS = [(status, origin) for status, origins in ORIGINS_OF.items() for origin in sorted(origins)]


@pytest.mark.parametrize(("status", "origin"), ENDINGS)
def test_every_ending_of_the_table_can_be_built_and_read_again(status: Status, origin: Origin) -> None:
    result = Result(**fields(status, origin))
    assert msgspec.json.decode(msgspec.json.encode(result), type=Result) == result


@pytest.mark.parametrize(
    ("status", "origin"), [pair for pair in product(Status, Origin) if pair[1] not in ORIGINS_OF[pair[0]]]
)
def test_no_other_ending_can(status: Status, origin: Origin) -> None:
    with pytest.raises(ValueError, match="cannot have origin"):
        Result(**fields(status, origin))


@pytest.mark.parametrize(
    ("status", "origin", "lie"),
    [
        (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE, {"reason": None}),
        (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE, {"reason": "  "}),
        (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE, {"stand_in": None}),
        (Status.FAIL_FALLBACK, Origin.GOLDEN_SAMPLE, {"error": DISABLED}),
        (Status.CACHED_FALLBACK, Origin.GOLDEN_SAMPLE, {"error": TIMEOUT}),
        (Status.SUCCESS, Origin.LIVE, {"meta": Meta(provider="scripted")}),
        (Status.SUCCESS, Origin.LIVE, {"meta": Meta()}),
        (Status.SUCCESS, Origin.LIVE, {"error": TIMEOUT}),
        (Status.SUCCESS, Origin.LIVE, {"content": {}}),
        (Status.SUCCESS, Origin.LIVE, {"content": None}),
        (Status.SUCCESS, Origin.LIVE, {"content_hash": None}),
        (Status.SUCCESS, Origin.SCRIPTED, {"meta": Meta(provider="local")}),
        (Status.SUCCESS, Origin.SCRIPTED, {"reason": None}),
        (Status.FAILED, Origin.NONE, {"content": {"a": 1}, "content_hash": "0" * 64}),
        (Status.FAILED, Origin.NONE, {"error": None}),
        (Status.PLACEHOLDER, Origin.PLACEHOLDER, {"reason": None}),
    ],
)
def test_a_lie_can_neither_be_built_nor_read(status: Status, origin: Origin, lie: dict[str, Any]) -> None:
    said = {**fields(status, origin), **lie}
    with pytest.raises(ValueError, match=r"\w"):
        Result(**said)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(said), type=Result)
