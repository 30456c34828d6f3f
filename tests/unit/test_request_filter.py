"""Words of the filter vocabulary: what they are parsed to, and what a mistake is answered with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.inspect.filter_conditions import build_conditions
from infra.inspect.request_filter import WORDS, FilterError, RequestFilter, parse_filter

_NOW_MS = 1_800_000_000_000


def test_every_word_sets_its_field() -> None:
    given = {
        "id": "w-*",
        "kind": "plot, layout",
        "status": "fail_fallback,pending",
        "origin": "golden_sample",
        "code": "GEN_TIMEOUT,GEN_PROVIDER_UNAVAILABLE,GEN_TIMEOUT",
        "stage": "freeform-gen",
        "provider": "local",
        "model": "a/b,c",
        "prompt-version": "layout@2",
        "workspace": "ws, one",
        "node": "bridge",
        "since": "10m",
        "until": "500ms",
        "text": " two words",
    }
    assert set(given) == set(WORDS)
    assert parse_filter(given, now_ms=_NOW_MS) == RequestFilter(
        request_id="w-*",
        kind=("plot", "layout"),
        status=("fail_fallback", "pending"),
        origin=("golden_sample",),
        code=("GEN_TIMEOUT", "GEN_PROVIDER_UNAVAILABLE"),
        stage=("freeform-gen",),
        provider="local",
        model="a/b,c",
        prompt_version="layout@2",
        workspace="ws, one",
        node="bridge",
        since_ms=_NOW_MS - 600_000,
        until_ms=_NOW_MS - 500,
        text=" two words",
    )


def test_nothing_given_matches_everything() -> None:
    found = parse_filter(dict.fromkeys(WORDS), now_ms=_NOW_MS)
    assert found.empty
    assert found.matches_id(None)
    assert found.matches_time(0)


@pytest.mark.parametrize(
    ("word", "value", "says"),
    [
        ("id", "a.b", "--id 'a.b' is no request id"),
        ("id", "a b", "neither dots nor spaces"),
        ("id", "a" * 256, "at most 255 characters"),
        ("kind", "poem", "--kind 'poem' is unknown; use one of"),
        ("status", "success,gone", "--status 'gone' is unknown"),
        ("status", ",", "--status ',' is unknown"),
        ("origin", "LIVE", "--origin 'LIVE' is unknown"),
        ("code", "TIMEOUT", "GEN_TIMEOUT"),
        ("stage", "freeform", "freeform-gen"),
        ("since", "ten", "--since 'ten' is not a duration"),
        ("until", "2026-13-01", "--until '2026-13-01' is not a time"),
        ("node", " ", "--node is empty"),
        ("colour", "red", "--colour is no filter; use one of --id,"),
    ],
)
def test_a_mistake_names_its_option_and_what_it_allows(word: str, value: str, says: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter({word: value}, now_ms=_NOW_MS)
    assert says in str(raised.value)


def test_a_time_span_that_is_empty_is_refused() -> None:
    with pytest.raises(FilterError, match="--until '2h' is not after --since '1h'"):
        parse_filter({"since": "1h", "until": "2h"}, now_ms=_NOW_MS)


def test_a_query_string_names_its_parameters() -> None:
    with pytest.raises(FilterError, match=r"^kind 'poem'"):
        parse_filter({"kind": "poem"}, now_ms=_NOW_MS, name=str)


def test_a_time_has_its_zone_or_the_local_one() -> None:
    found = parse_filter({"since": "2026-11-27T10:30:00Z", "until": "2026-11-27 23:59"}, now_ms=_NOW_MS)
    assert found.since_ms == int(datetime(2026, 11, 27, 10, 30, tzinfo=UTC).timestamp() * 1000)
    assert found.until_ms == int(datetime(2026, 11, 27, 23, 59).astimezone().timestamp() * 1000)


def test_one_id_is_no_pattern() -> None:
    assert RequestFilter(request_id="a").one_id == "a"
    assert RequestFilter(request_id="a*").one_id is None
    assert not RequestFilter(request_id="a*").empty


@pytest.mark.parametrize(
    ("where", "request_id", "matches"),
    [
        (RequestFilter(), "sh-a-1", False),
        (RequestFilter(), "shop-1", True),
        (RequestFilter(request_id="*-1"), "sh-a-1", False),
        (RequestFilter(request_id="*-1", shadows=True), "sh-a-1", True),
        (RequestFilter(request_id="sh-a-*"), "sh-a-1", True),
        (RequestFilter(shadows=True), "sh-a-1", True),
    ],
)
def test_shadows_match_only_where_they_are_asked_for(
    where: RequestFilter, request_id: str, *, matches: bool
) -> None:
    assert where.matches_id(request_id) is matches


@pytest.mark.parametrize(
    ("pattern", "request_id", "matches"),
    [
        ("player#1", "player#1", True),
        ("a[12]", "a[12]", True),
        ("a[12]", "a1", False),
        ("a[12]*", "a[12]-3", True),
        ("w-?", "w-1", True),
        ("w-?", "w-10", False),
    ],
)
def test_the_id_of_a_rejected_request_matches_literally(
    pattern: str, request_id: str, *, matches: bool
) -> None:
    assert parse_filter({"id": pattern}, now_ms=_NOW_MS).matches_id(request_id) is matches


def test_shadows_alone_are_no_condition() -> None:
    assert RequestFilter(shadows=True).empty


@pytest.mark.parametrize("text", [f"{'9' * 320}d", "9999999999999999999999999d", "1000000d"])
def test_an_age_without_end_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="longer than 10,000 days"):
        parse_filter({"since": text}, now_ms=_NOW_MS)


def test_a_time_before_the_epoch_is_its_start() -> None:
    assert parse_filter({"since": "0001-01-05"}, now_ms=_NOW_MS).since_ms == 0


def test_a_value_is_compared_as_the_column_keeps_it() -> None:
    conditions = build_conditions(RequestFilter(provider="p" * 100), dialect="sqlite")
    assert "p" * 64 in conditions[-1].compile().params.values()
