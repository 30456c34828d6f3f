"""Which differences between two topologies are seen, and which may be removed without asking?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import pipeline
from infra.nats import drift, topology
from infra.nats.drift import Severity, Topology
from infra.settings import load

_SETTINGS = load()
_WANTED = topology.wanted(_SETTINGS)
_STREAM = pipeline.REQUESTS


def _with(stream: str = _STREAM, **fields: Any) -> Topology:
    return Topology(
        streams={**_WANTED.streams, stream: {**_WANTED.streams[stream], **fields}},
        consumers=_WANTED.consumers,
    )


def _with_consumer(**fields: Any) -> Topology:
    key = ("EVENTS", "audit")
    return Topology(
        streams=_WANTED.streams, consumers={**_WANTED.consumers, key: {**_WANTED.consumers[key], **fields}}
    )


def test_the_table_decides_streams_and_consumers() -> None:
    assert set(_WANTED.streams) >= {"REQUESTS", "EVENTS", "DEAD", "KV_strikes", "OBJ_assets"}
    assert set(_WANTED.consumers) == {(route.stream, route.stage) for route in pipeline.routes()}
    for route in pipeline.routes():
        assert _WANTED.consumers[route.stream, route.stage]["filter_subjects"] == list(route.subjects)


def test_a_stream_with_a_byte_limit_never_drops_to_make_room() -> None:
    for config in _WANTED.streams.values():
        assert config["discard"] == "new" or config["max_bytes"] == -1


def test_events_may_take_twelve_times_the_bytes_of_requests() -> None:
    budgets = topology.byte_budgets(_SETTINGS)
    assert budgets["EVENTS"] == 12 * budgets["REQUESTS"]
    assert _WANTED.streams["EVENTS"]["metadata"][drift.BUDGET_KEY] == str(budgets["EVENTS"])


def test_equal_topologies_do_not_differ() -> None:
    assert drift.diff(_WANTED, _WANTED) == ()


def test_what_is_missing_is_created() -> None:
    changes = drift.diff(_WANTED, Topology(streams={}, consumers={}))
    assert {change.severity for change in changes} == {Severity.CREATE}
    assert len(changes) == len(_WANTED.streams) + len(_WANTED.consumers)


def test_what_others_have_beside_ours_is_nobodys_business() -> None:
    more = Topology(streams={**_WANTED.streams, "THEIRS": {"name": "THEIRS"}}, consumers=_WANTED.consumers)
    assert drift.diff(_WANTED, more) == ()


_FOREIGN = {"metadata": {drift.VERSION_KEY: topology.VERSION}}


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        pytest.param({"max_age": 30 * 86_400 * 10**9}, Severity.INFO, id="operator-longer"),
        pytest.param({"max_age": 0}, Severity.INFO, id="operator-unlimited"),
        pytest.param({"max_age": 3600 * 10**9}, Severity.UNSAFE, id="operator-stricter"),
        pytest.param({"max_msgs_per_subject": 5}, Severity.UNSAFE, id="operator-count"),
        pytest.param({"max_age": 3600 * 10**9, **_FOREIGN}, Severity.UNSAFE, id="not-made-by-us"),
        pytest.param({"storage": "memory"}, Severity.UNSAFE, id="storage"),
        pytest.param({"retention": "workqueue"}, Severity.UNSAFE, id="retention"),
        pytest.param({"discard": "old"}, Severity.UNSAFE, id="discard"),
        pytest.param({"deny_purge": True}, Severity.UNSAFE, id="deny-purge"),
        pytest.param({"sealed": True}, Severity.UNSAFE, id="sealed"),
        pytest.param({"mirror": {"name": "OTHER"}}, Severity.UNSAFE, id="mirror"),
        pytest.param({"sources": [{"name": "OTHER"}]}, Severity.UNSAFE, id="sources"),
        pytest.param({"no_ack": True}, Severity.UNSAFE, id="no-ack"),
        pytest.param({"subject_transform": {"src": ">", "dest": "x.>"}}, Severity.UNSAFE, id="transform"),
        pytest.param({"persist_mode": "async"}, Severity.UNSAFE, id="persist-mode"),
        pytest.param({"allow_direct": False}, Severity.UPDATE, id="ability-off"),
        pytest.param({"subjects": []}, Severity.UPDATE, id="subject-missing"),
        pytest.param(
            {"subjects": [*pipeline.stream_subjects(_STREAM), "x"]}, Severity.UNSAFE, id="subject-extra"
        ),
        pytest.param({"num_replicas": 3}, Severity.INFO, id="more-replicas"),
    ],
)
def test_a_stream_that_differs(fields: dict[str, Any], severity: Severity) -> None:
    (change,) = drift.diff(_WANTED, _with(**fields))
    assert (change.name, change.severity) == (_STREAM, severity)
    assert change.drift == (severity is not Severity.INFO)


def test_our_own_limit_may_grow_and_not_shrink() -> None:
    larger = topology.wanted(load(broker={"requests_max_bytes": 2**30}))
    grown, _ = drift.diff(larger, _WANTED)
    shrunk, _ = drift.diff(_WANTED, larger)
    assert (grown.severity, shrunk.severity) == (Severity.UPDATE, Severity.UNSAFE)


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({"ack_wait": 30 * 10**9}, Severity.UPDATE),
        ({"max_deliver": 3}, Severity.UPDATE),
        ({"max_ack_pending": 1000}, Severity.UPDATE),
        ({"backoff": [10**9]}, Severity.UPDATE),
        ({"inactive_threshold": 10**9}, Severity.UPDATE),
        ({"filter_subjects": ["gen.result.>"]}, Severity.UPDATE),
        ({"rate_limit_bps": 1000}, Severity.UPDATE),
        ({"max_batch": 1}, Severity.UPDATE),
        ({"mem_storage": True}, Severity.UNSAFE),
        ({"replay_policy": "original"}, Severity.UNSAFE),
        ({"ack_policy": "none"}, Severity.UNSAFE),
        ({"deliver_subject": "push"}, Severity.UNSAFE),
    ],
)
def test_a_consumer_that_differs(fields: dict[str, Any], severity: Severity) -> None:
    (change,) = drift.diff(_WANTED, _with_consumer(**fields))
    assert (change.name, change.severity) == ("EVENTS/audit", severity)


@pytest.mark.parametrize("count", [1, 5000])
def test_the_count_of_open_requests_is_the_pipelines_own_to_set(count: int) -> None:
    actual = _with(max_msgs=count)
    assert drift.diff(_WANTED, actual) == ()
    kept = drift.settle(_WANTED.streams[_STREAM], actual.streams[_STREAM], (), force=True)
    assert kept["max_msgs"] == count


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (
            {"config": {"pause_until": "2030-01-01T00:00:00Z"}, "paused": True},
            "consumer EVENTS/fallback: paused until 2030-01-01T00:00:00Z; nothing is delivered",
        ),
        ({"config": {}, "cluster": {"name": "C1"}}, "consumer EVENTS/fallback: no server leads it"),
        (
            {"config": {}, "cluster": {"leader": "n1", "replicas": [{"name": "n2", "offline": True}]}},
            "consumer EVENTS/fallback: offline on n2",
        ),
    ],
)
def test_a_state_that_no_setting_shows_is_a_difference(info: dict[str, Any], says: str) -> None:
    states = {"EVENTS/fallback": drift.state(info)}
    (change,) = drift.diff(_WANTED, msgspec.structs.replace(_WANTED, states=states))
    assert change.drift
    assert str(change).startswith(says)


@pytest.mark.parametrize(
    ("stream", "fields", "broken"),
    [
        ("EVENTS", {"max_bytes": 300_000}, True),
        ("EVENTS", {"max_msgs": 1000}, True),
        ("EVENTS", {"max_msgs_per_subject": 1}, True),
        ("EVENTS", {"max_age": 3600 * 10**9}, True),
        ("EVENTS", {"max_age": 0}, False),
        ("EVENTS", {"discard": "new"}, True),
        ("EVENTS", {"sealed": True}, True),
        ("EVENTS", {"duplicate_window": 10**9}, False),
        ("EVENTS", {"num_replicas": 3}, False),
        ("REQUESTS", {"discard": "old"}, True),
        ("REQUESTS", {"max_bytes": 1000}, False),
        ("REQUESTS", {"max_msgs_per_subject": 1}, True),
        ("DEAD", {"max_msgs": 3}, False),
    ],
)
def test_limits_that_lose_accepted_requests_are_told_from_others(
    stream: str, fields: dict[str, Any], *, broken: bool
) -> None:
    (change,) = drift.diff(_WANTED, _with(stream, **fields))
    assert drift.breaks(change) == broken


def test_a_single_filter_counts_as_a_list_of_one() -> None:
    key = ("DEAD", "audit")
    config = {k: v for k, v in _WANTED.consumers[key].items() if k != "filter_subjects"}
    actual = Topology(
        streams=_WANTED.streams, consumers={**_WANTED.consumers, key: {**config, "filter_subject": "dead.>"}}
    )
    assert drift.diff(_WANTED, actual) == ()


def test_a_difference_reads_well() -> None:
    (change,) = drift.diff(_WANTED, _with(max_age=3600 * 10**9))
    assert str(change) == (
        "stream REQUESTS: max_age is 1 h, wanted 7 d (an operator's stricter limit; kept without --force)"
    )


_limit = st.one_of(st.just(-1), st.integers(1, 2**40))


@given(
    max_age=st.one_of(st.just(0), st.integers(1, 2**55)),
    max_bytes=_limit,
    max_msgs=_limit,
    mine=st.booleans(),
    direct=st.booleans(),
    subjects=st.sets(st.sampled_from(["gen.requested.>", "a", "b"])),
)
def test_settling_removes_what_it_says(
    *, max_age: int, max_bytes: int, max_msgs: int, mine: bool, direct: bool, subjects: set[str]
) -> None:
    limits = {"max_age": max_age, "max_bytes": max_bytes, "max_msgs": max_msgs}
    noted = limits if mine else {}
    actual = _with(
        _STREAM,
        **limits,
        description="ours",
        subjects=sorted(subjects),
        allow_direct=direct,
        metadata=drift.stamp(topology.VERSION, noted),
        theirs="kept",
    )
    changes = drift.diff(_WANTED, actual)

    def settled(*, force: bool) -> Topology:
        return _with(**drift.settle(_WANTED.streams[_STREAM], actual.streams[_STREAM], changes, force=force))

    gentle, forced = settled(force=False), settled(force=True)
    left = drift.diff(_WANTED, gentle)
    assert {(c.field, c.severity) for c in left} == {
        (c.field, c.severity) for c in changes if not drift.takes(c, force=False)
    }
    assert drift.diff(_WANTED, forced) == ()
    assert gentle.streams[_STREAM]["theirs"] == "kept"
    for field, before in limits.items():
        if (_STREAM, field) in drift.RUN_TIME:
            assert forced.streams[_STREAM][field] == before
        kept = gentle.streams[_STREAM][field]
        assert kept == before or kept in {0, -1} or kept >= before
