"""Which differences between two topologies are seen, and which may be removed without asking?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import pipeline
from infra.nats import topology, topology_config, topology_diff, topology_fields, topology_merge
from infra.nats.topology_diff import DifferenceSeverity, Topology
from infra.settings.settings import load

_SETTINGS = load()
_WANTED = topology.desired_topology(_SETTINGS)
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
    budgets = topology_config.byte_budgets(_SETTINGS)
    assert budgets["EVENTS"] == 12 * budgets["REQUESTS"]
    assert _WANTED.streams["EVENTS"]["metadata"][topology_fields.BUDGET_KEY] == str(budgets["EVENTS"])


def test_equal_topologies_do_not_differ() -> None:
    assert topology_diff.diff(_WANTED, _WANTED) == ()


def test_what_is_missing_is_created() -> None:
    changes = topology_diff.diff(_WANTED, Topology(streams={}, consumers={}))
    assert {change.severity for change in changes} == {DifferenceSeverity.CREATE}
    assert len(changes) == len(_WANTED.streams) + len(_WANTED.consumers)


def test_what_others_have_beside_ours_is_nobodys_business() -> None:
    more = Topology(streams={**_WANTED.streams, "THEIRS": {"name": "THEIRS"}}, consumers=_WANTED.consumers)
    assert topology_diff.diff(_WANTED, more) == ()


_FOREIGN = {"metadata": {topology_fields.VERSION_KEY: topology_config.VERSION}}


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        pytest.param({"max_age": 30 * 86_400 * 10**9}, DifferenceSeverity.INFO, id="operator-longer"),
        pytest.param({"max_age": 0}, DifferenceSeverity.INFO, id="operator-unlimited"),
        pytest.param({"max_age": 3600 * 10**9}, DifferenceSeverity.UNSAFE, id="operator-stricter"),
        pytest.param({"max_msgs_per_subject": 5}, DifferenceSeverity.UNSAFE, id="operator-count"),
        pytest.param({"max_age": 3600 * 10**9, **_FOREIGN}, DifferenceSeverity.UNSAFE, id="not-made-by-us"),
        pytest.param({"storage": "memory"}, DifferenceSeverity.UNSAFE, id="storage"),
        pytest.param({"retention": "workqueue"}, DifferenceSeverity.UNSAFE, id="retention"),
        pytest.param({"discard": "old"}, DifferenceSeverity.UNSAFE, id="discard"),
        pytest.param({"deny_purge": True}, DifferenceSeverity.UNSAFE, id="deny-purge"),
        pytest.param({"sealed": True}, DifferenceSeverity.UNSAFE, id="sealed"),
        pytest.param({"mirror": {"name": "OTHER"}}, DifferenceSeverity.UNSAFE, id="mirror"),
        pytest.param({"sources": [{"name": "OTHER"}]}, DifferenceSeverity.UNSAFE, id="sources"),
        pytest.param({"no_ack": True}, DifferenceSeverity.UNSAFE, id="no-ack"),
        pytest.param(
            {"subject_transform": {"src": ">", "dest": "x.>"}}, DifferenceSeverity.UNSAFE, id="transform"
        ),
        pytest.param({"persist_mode": "async"}, DifferenceSeverity.UNSAFE, id="persist-mode"),
        pytest.param({"allow_direct": False}, DifferenceSeverity.UPDATE, id="ability-off"),
        pytest.param({"subjects": []}, DifferenceSeverity.UPDATE, id="subject-missing"),
        pytest.param(
            {"subjects": [*pipeline.stream_subjects(_STREAM), "x"]},
            DifferenceSeverity.UNSAFE,
            id="subject-extra",
        ),
        pytest.param({"num_replicas": 3}, DifferenceSeverity.INFO, id="more-replicas"),
    ],
)
def test_a_stream_that_differs(fields: dict[str, Any], severity: DifferenceSeverity) -> None:
    (change,) = topology_diff.diff(_WANTED, _with(**fields))
    assert (change.name, change.severity) == (_STREAM, severity)
    assert change.drift == (severity is not DifferenceSeverity.INFO)


def test_our_own_limit_may_grow_and_not_shrink() -> None:
    larger = topology.desired_topology(load(broker={"requests_max_bytes": 2**30}))
    grown, _ = topology_diff.diff(larger, _WANTED)
    shrunk, _ = topology_diff.diff(_WANTED, larger)
    assert (grown.severity, shrunk.severity) == (DifferenceSeverity.UPDATE, DifferenceSeverity.UNSAFE)


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({"ack_wait": 30 * 10**9}, DifferenceSeverity.UPDATE),
        ({"max_deliver": 3}, DifferenceSeverity.UPDATE),
        ({"max_ack_pending": 1000}, DifferenceSeverity.UPDATE),
        ({"backoff": [10**9]}, DifferenceSeverity.UPDATE),
        ({"inactive_threshold": 10**9}, DifferenceSeverity.UPDATE),
        ({"filter_subjects": ["gen.result.>"]}, DifferenceSeverity.UPDATE),
        ({"rate_limit_bps": 1000}, DifferenceSeverity.UPDATE),
        ({"max_batch": 1}, DifferenceSeverity.UPDATE),
        ({"mem_storage": True}, DifferenceSeverity.UNSAFE),
        ({"replay_policy": "original"}, DifferenceSeverity.UNSAFE),
        ({"ack_policy": "none"}, DifferenceSeverity.UNSAFE),
        ({"deliver_subject": "push"}, DifferenceSeverity.UNSAFE),
    ],
)
def test_a_consumer_that_differs(fields: dict[str, Any], severity: DifferenceSeverity) -> None:
    (change,) = topology_diff.diff(_WANTED, _with_consumer(**fields))
    assert (change.name, change.severity) == ("EVENTS/audit", severity)


@pytest.mark.parametrize("count", [1, 5000])
def test_the_count_of_open_requests_is_the_pipelines_own_to_set(count: int) -> None:
    actual = _with(max_msgs=count)
    assert topology_diff.diff(_WANTED, actual) == ()
    kept = topology_merge.merge_config(_WANTED.streams[_STREAM], actual.streams[_STREAM], (), force=True)
    assert kept["max_msgs"] == count


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (
            {"config": {"pause_until": "2030-01-01T00:00:00Z"}, "paused": True},
            "consumer EVENTS/fallback: paused until 2030-01-01T00:00:00Z; nothing is delivered",
        ),
        ({"config": {}, "cluster": {"name": "C1"}}, "consumer EVENTS/fallback: it has no leader"),
        (
            {"config": {}, "cluster": {"leader": "n1", "replicas": [{"name": "n2", "offline": True}]}},
            "consumer EVENTS/fallback: offline on n2",
        ),
    ],
)
def test_a_state_that_no_setting_shows_is_a_difference(info: dict[str, Any], says: str) -> None:
    states = {"EVENTS/fallback": topology_diff.read_state(info)}
    (change,) = topology_diff.diff(_WANTED, msgspec.structs.replace(_WANTED, states=states))
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
    (change,) = topology_diff.diff(_WANTED, _with(stream, **fields))
    assert topology_diff.breaks(change) == broken


def test_a_single_filter_counts_as_a_list_of_one() -> None:
    key = ("DEAD", "audit")
    config = {k: v for k, v in _WANTED.consumers[key].items() if k != "filter_subjects"}
    actual = Topology(
        streams=_WANTED.streams, consumers={**_WANTED.consumers, key: {**config, "filter_subject": "dead.>"}}
    )
    assert topology_diff.diff(_WANTED, actual) == ()


def test_a_difference_reads_well() -> None:
    (change,) = topology_diff.diff(_WANTED, _with(max_age=3600 * 10**9))
    assert str(change) == (
        "stream REQUESTS: max_age is 1 h, wanted 7 d (an operator's stricter limit; not changed without --force)"
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
        metadata=topology_fields.stamp(topology_config.VERSION, noted),
        theirs="kept",
    )
    changes = topology_diff.diff(_WANTED, actual)

    def settled(*, force: bool) -> Topology:
        return _with(
            **topology_merge.merge_config(
                _WANTED.streams[_STREAM], actual.streams[_STREAM], changes, force=force
            )
        )

    gentle, forced = settled(force=False), settled(force=True)
    left = topology_diff.diff(_WANTED, gentle)
    assert {(c.field, c.severity) for c in left} == {
        (c.field, c.severity) for c in changes if not topology_merge.removes(c, force=False)
    }
    assert topology_diff.diff(_WANTED, forced) == ()
    assert gentle.streams[_STREAM]["theirs"] == "kept"
    for field, before in limits.items():
        if (_STREAM, field) in topology_fields.RUN_TIME:
            assert forced.streams[_STREAM][field] == before
        kept = gentle.streams[_STREAM][field]
        assert kept == before or kept in {0, -1} or kept >= before
