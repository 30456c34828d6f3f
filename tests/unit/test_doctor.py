"""Doctor's checks of broker, files and providers: each in order, and failing for its reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from infra.app import broker_checks, doctor
from infra.app.doctor_check import DoctorCheck, order, row, row_of_error
from infra.app.model_checks import ModelRow
from infra.cli import checks
from infra.nats import topology, topology_diff
from infra.nats.topology_diff import Topology
from infra.settings import shipped
from infra.settings.settings import load


@pytest.mark.parametrize(
    ("version", "severity"),
    [((2, 11, 9), "error"), ((2, 12, 1), "warning"), ((2, 14, 0), "ok"), ((3, 0, 0), "ok")],
)
def test_the_brokers_version_is_judged(version: tuple[int, int, int], severity: str) -> None:
    row = broker_checks.broker_version(version)
    assert row.severity == severity
    assert bool(row.fix) == (severity != "ok")


@pytest.mark.parametrize(("interval", "severity"), [("always", "ok"), ("2m", "warning"), (None, "info")])
def test_late_fsync_is_a_warning(interval: str | None, severity: str) -> None:
    assert broker_checks.fsync(interval).severity == severity


@pytest.mark.parametrize(("wanted", "severity"), [(True, "error"), (False, "info")])
def test_a_missing_model_is_an_error_only_where_one_is_wanted(*, wanted: bool, severity: str) -> None:
    row = doctor.model(wanted=wanted, missing=["torch"], path="nowhere")
    assert (row.severity, row.ok) == (severity, not wanted)
    assert "torch" in row.detail


def test_missing_streams_are_errors_with_the_command() -> None:
    wanted = topology.desired_topology(load())
    rows = broker_checks.differences(topology_diff.diff(wanted, Topology(streams={}, consumers={})))
    assert all(row.severity == "error" and "topology apply" in row.fix for row in rows)
    (fine,) = broker_checks.differences(())
    assert fine.ok


@pytest.mark.parametrize(
    ("account", "limit", "severity"),
    [
        ({"storage": 10}, None, "ok"),
        ({"storage": 10}, 100, "ok"),
        ({"storage": 85}, 100, "warning"),
        ({"storage": 96}, 100, "error"),
        ({"storage": 96, "limits": {"max_storage": -1}}, None, "ok"),
        ({"storage": 96, "limits": {"max_storage": 100}}, 10**9, "error"),
        ({"storage": 0, "tiers": {"R3": {"storage": 85, "limits": {"max_storage": 100}}}}, None, "warning"),
    ],
)
def test_a_store_that_fills_up_is_seen(account: dict[str, Any], limit: int | None, severity: str) -> None:
    row = broker_checks.stored(account, limit=limit)
    assert (row.severity, bool(row.fix)) == (severity, severity != "ok")


@pytest.mark.parametrize(
    ("name", "config", "told"),
    [
        ("DEAD", {"discard": "new", "max_msgs": 3}, True),
        ("DEAD", {"discard": "old", "max_msgs": 3}, False),
        ("DEAD", {"discard": "new", "max_msgs": -1, "max_bytes": -1}, False),
        ("REQUESTS", {"discard": "new", "max_bytes": 100}, True),
        ("REQUESTS", {"discard": "new", "max_msgs": 3}, False),
    ],
)
def test_a_stream_that_refuses_is_told(name: str, config: dict[str, Any], *, told: bool) -> None:
    row = broker_checks.fill(name, {"config": config, "state": {"messages": 3, "bytes": 99}})
    assert (row is not None) == told


def test_a_stream_without_a_dedup_window_is_a_warning() -> None:
    actual = Topology(
        streams={"REQUESTS": {"max_age": 0, "max_bytes": -1, "duplicate_window": 0}}, consumers={}
    )
    kept, window = broker_checks.streams(actual)
    assert (kept.ok, window.severity) == (True, "warning")


def test_problems_come_first_with_their_fix_below_and_what_is_in_order_is_folded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        msgspec.to_builtins(each)
        for each in order(
            (
                row("python", "ok", "3.11"),
                row("disk", "warning", "little", "free some"),
                row("gpu", "info", "none"),
                row("broker", "error", "gone", "start it"),
            )
        )
    ]
    checks._print_checks(rows, everything=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["error", "→", "warning", "→", "2"]
    assert lines[1:4:2] == [["→", "start", "it"], ["→", "free", "some"]]
    checks._print_checks(rows, everything=True)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        *("error", "→", "warning", "→", "info", "ok")
    ]


def test_an_errors_advice_is_its_fix() -> None:
    found = row_of_error("x", "error", "a is gone; b too; start it", otherwise="look")
    assert (found.detail, found.fix) == ("a is gone; b too", "start it")
    bare = row_of_error("x", "error", "a is gone", otherwise="look")
    assert (bare.detail, bare.fix) == ("a is gone", "look")


@pytest.mark.parametrize(
    ("state", "severity", "said", "fix"),
    [
        (
            {"paused": "2099-01-01T00:00:00Z"},
            "warning",
            "paused until 2099",
            "run 'understudy topology apply'",
        ),
        ({"leader": ""}, "warning", "it has no leader", "make sure that most of its servers run"),
        ({"replicas": "n2"}, "warning", "offline on n2", "start these servers"),
    ],
)
def test_the_state_of_a_consumer_that_keeps_it_from_working_is_told(state, severity, said, fix) -> None:
    wanted = topology.desired_topology(load())
    actual = Topology(streams=wanted.streams, consumers=wanted.consumers, states={"EVENTS/fallback": state})
    (found,) = broker_checks.differences(topology_diff.diff(wanted, actual))
    assert (found.check, found.severity, found.fix) == ("topology", severity, fix)
    assert found.detail.startswith(f"consumer EVENTS/fallback: {said}")


@pytest.mark.parametrize(
    ("age_s", "severity"), [(0, "ok"), (7 * 86_400, "ok"), (86_400, "ok"), (3600, "error")]
)
def test_a_retention_shorter_than_a_deadline_is_an_error(age_s, severity) -> None:
    config = {"max_age": age_s * 10**9, "max_bytes": -1, "duplicate_window": 10**9}
    (found, _) = broker_checks.streams(Topology(streams={"EVENTS": config}, consumers={}))
    assert (found.check, found.severity, bool(found.fix)) == ("retention EVENTS", severity, severity != "ok")


def _stream(number: int, **cluster: Any) -> dict[str, Any]:
    return {"config": {"num_replicas": number}, "cluster": cluster}


BEHIND = {"name": "n2", "current": False, "lag": 1200}
OFFLINE = {"name": "n2", "current": False, "offline": True}


@pytest.mark.parametrize(
    ("info", "severity", "said"),
    [
        (_stream(1, leader="understudy"), "info", "on a single server"),
        (_stream(3, name="C", replicas=[{"name": "n2", "current": True}]), "ok", "3 of each stream"),
        (_stream(1, name="C"), "warning", "1 in a cluster: while one server is away"),
        (_stream(3, name="C", replicas=[BEHIND]), "warning", "not current: n2 (1,200 behind)"),
        (_stream(3, name="C", replicas=[OFFLINE]), "ok", "3 of each stream"),
    ],
)
def test_copies_of_streams_are_judged(info, severity, said) -> None:
    (found,) = broker_checks.copies({"EVENTS": info})
    assert (found.severity, bool(found.fix)) == (severity, severity == "warning")
    assert said in found.detail


@pytest.mark.parametrize(
    ("off_s", "severity", "said"),
    [
        (0.0, "ok", "within 1 s"),
        (5.0, "warning", "5.0 s behind"),
        (-5.0, "warning", "5.0 s ahead of"),
        (3600.0, "error", "3600.0 s behind"),
    ],
)
async def test_clocks_that_differ_are_told(off_s, severity, said) -> None:
    class Broker:
        async def call(self, _subject: str) -> Any:
            there = datetime.now(UTC) + timedelta(seconds=off_s)
            return SimpleNamespace(data=json.dumps({"ts": there.isoformat()}).encode())

    wire: Any = Broker()
    found = await broker_checks.clock(wire)
    assert (found.severity, bool(found.fix)) == (severity, severity != "ok")
    assert said in found.detail


async def test_a_clock_that_is_not_known_is_not_called_right() -> None:
    class Silent:
        async def call(self, _subject: str) -> Any:
            return SimpleNamespace(data=b'{"error": {"code": 404}}')

    wire: Any = Silent()
    found = await broker_checks.clock(wire)
    assert (found.severity, found.detail.startswith("not known")) == ("info", True)


def by_check(rows: tuple[DoctorCheck, ...]) -> dict[str, DoctorCheck]:
    return {each.check: each for each in rows}


@pytest.mark.parametrize(
    ("check", "setting", "file", "text", "said"),
    [
        ("golden samples", "samples_dir", "sample_x.json", "{}", "sample_x.json"),
        ("templates", "templates_dir", "x.json", "{", "x.json"),
        ("worlds", "worlds_dir", "isle.toml", "", "no default.toml"),
        ("prompts", "prompts_dir", "layout/9.md", "no front matter", "9.md"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_with_its_fix(
    tmp_path, check, setting, file, text, said
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    found = by_check(doctor._files(load(**{setting: tmp_path})))[check]
    assert (found.severity, bool(found.fix)) == ("error", True)
    assert said in found.detail
    assert by_check(doctor._files(load()))[check].ok


def test_rating_words_that_cannot_be_read_are_an_error(tmp_path) -> None:
    found = by_check(doctor._files(load(rating_words=tmp_path / "no.toml")))["rating words"]
    assert (found.severity, "no.toml" in found.detail, bool(found.fix)) == ("error", True, True)


def test_a_kind_without_a_sample_is_a_warning(tmp_path) -> None:
    for file in shipped.SAMPLES.glob("sample_layout_*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (found,) = doctor.uncovered(load(samples_dir=tmp_path))
    assert (found.check, found.severity) == ("sample coverage", "warning")
    assert "rated sfw for plot, scene, dialogue, transition" in found.detail
    assert str(tmp_path) in found.fix
    (fine,) = doctor.uncovered(load())
    assert fine.ok


async def test_a_route_that_nobody_serves_is_an_error() -> None:
    settings = load(use_local_model=True, narrative={"providers": {"plot": "openai"}})
    found = by_check(await doctor._providers(settings, ask=False))["providers"]
    assert (found.severity, bool(found.fix)) == ("error", True)
    off = by_check(await doctor._providers(load(), ask=True))["providers"]
    assert (off.severity, "turned off" in off.detail) == ("info", True)


@pytest.mark.parametrize(
    ("changes", "asked", "severity", "said"),
    [
        ({}, False, "ok", "answers"),
        ({"schemas": "json_schema, and followed it"}, True, "ok", "asked with a small call: json_schema"),
        ({"ok": False, "fix": "start it"}, False, "warning", "answers"),
        ({"ok": False, "detail": "a call failed: 401"}, True, "error", "a call failed: 401"),
        ({"fix": "load it"}, False, "warning", "answers"),
    ],
)
def test_a_provider_that_cannot_answer_is_told(changes, asked, severity, said) -> None:
    found = ModelRow(
        **{"provider": "box", "kinds": ("plot",), "model": "m", "place": "p", "detail": "answers", **changes}
    )
    judged = doctor.provider(found, asked=asked)
    assert (judged.check, judged.severity, bool(judged.fix)) == ("provider box", severity, severity != "ok")
    assert said in judged.detail
