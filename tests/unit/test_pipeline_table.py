"""Tables of the pipeline: they agree with each other, with the folders under stages/, and with the topology."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import stages
from contracts import bucket_table, pipeline
from contracts.kinds import KINDS
from contracts.pipeline import Guard
from infra.nats import topology
from infra.settings.settings import Settings

_STAGES = Path(next(iter(stages.__path__)))
PARTIES = {*pipeline.STAGES, pipeline.CLIENT, pipeline.BROKER, pipeline.OPERATOR}


def test_every_stage_has_its_folder_and_every_folder_its_stage() -> None:
    root = Path(next(iter(stages.__path__)))
    folders = {each.parent.name for each in root.glob("*/handle.py")}
    assert folders == {stage.replace("-", "_") for stage in pipeline.STAGES}


@pytest.mark.parametrize("stage", pipeline.STAGES)
def test_every_stage_has_a_handler_and_knows_its_name(stage) -> None:
    module = import_module(f"stages.{stage.replace('-', '_')}.handle")
    assert callable(module.handle)
    assert getattr(module, "STAGE", stage) == stage


@pytest.mark.parametrize("row", pipeline.ROWS, ids=lambda row: row.event)
def test_every_event_has_known_publishers_and_consumers(row) -> None:
    assert row.published_by
    assert row.consumed_by
    assert {*row.published_by, *row.consumed_by} <= PARTIES


@pytest.mark.parametrize("row", [row for row in pipeline.ROWS if row.body], ids=lambda row: row.event)
def test_a_body_has_the_name_of_its_event(row) -> None:
    assert row.body.name == row.event


def _called(stage: str) -> Iterator[str]:
    for path in sorted(_STAGES.joinpath(stage.replace("-", "_")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                match node.func:
                    case ast.Name(id=name) | ast.Attribute(attr=name):
                        yield name
                    case _:
                        pass


@pytest.mark.parametrize("stage", pipeline.STAGES)
def test_what_a_stage_publishes_is_made_in_its_folder(stage) -> None:
    called = set(_called(stage))
    for row in pipeline.ROWS:
        own = {row.body.__name__} if row.body else set()
        if stage in row.published_by:
            assert called & (own | set(row.made_by)), f"{row.event} is made nowhere in the folder of {stage}"


@pytest.mark.parametrize("stage", [stage for stage in pipeline.STAGES if stage != "audit"])
def test_what_is_made_in_a_stages_folder_is_published_by_it(stage) -> None:
    # A deadline is the body of the fallback's timer; the broker publishes it.
    made = {row.event for row in pipeline.ROWS if row.body and row.body.__name__ in set(_called(stage))}
    assert made - {"deadline"} <= {row.event for row in pipeline.ROWS if stage in row.published_by}


def test_only_stages_publish_results() -> None:
    assert set(pipeline.ROW_OF["result"].published_by) <= set(pipeline.STAGES)


def test_what_never_fails_publishes_no_failure() -> None:
    unfailing = {stage.name for stage in pipeline.STAGE_ROWS if stage.unfailing}
    assert not unfailing & set(pipeline.ROW_OF["failed"].published_by)


def test_audit_reads_every_stored_event() -> None:
    assert all("audit" in row.consumed_by for row in pipeline.ROWS if row.stream)


def test_one_consumer_of_every_stored_event_writes_its_letters() -> None:
    written = [event for stage in pipeline.STAGE_ROWS for event in stage.writes_letters_for]
    assert sorted(written) == sorted(row.event for row in pipeline.ROWS if row.stream)
    for stage in pipeline.STAGE_ROWS:
        assert all(stage.name in pipeline.ROW_OF[event].consumed_by for event in stage.writes_letters_for)


def test_what_a_guard_looks_at_is_what_its_stage_gets() -> None:
    needs = {Guard.INTAKE: "requested", Guard.OPEN_DEADLINE: "deadline"}
    for stage in pipeline.STAGE_ROWS:
        for guard in stage.guards:
            if guard in needs:
                assert stage.name in pipeline.ROW_OF[needs[guard]].consumed_by
            else:
                assert stage.expensive
    assert all(Guard.WORTH_A_CALL in stage.guards for stage in pipeline.STAGE_ROWS if stage.expensive)


def test_what_answers_publishes_results_and_never_fails() -> None:
    for stage in pipeline.STAGE_ROWS:
        if stage.answers:
            assert stage.unfailing
            assert stage.name in pipeline.ROW_OF["result"].published_by


def test_every_bucket_is_used_by_known_parties_and_is_in_the_topology() -> None:
    parties = {*pipeline.STAGES, pipeline.CLIENT, pipeline.OPERATOR}
    streams = topology.desired_topology(Settings.model_construct()).streams
    for bucket in bucket_table.BUCKETS:
        assert bucket.written_by
        assert bucket.read_by
        assert {*bucket.written_by, *bucket.read_by} <= parties
        assert tuple(streams[bucket.stream]["subjects"]) == bucket.subjects
        assert streams[bucket.stream]["max_age"] == bucket.life_s * 10**9
    assert {name for name in streams if name.startswith(("KV_", "OBJ_"))} == {
        bucket.stream for bucket in bucket_table.BUCKETS
    }


def test_clients_write_to_no_bucket() -> None:
    assert all(pipeline.CLIENT not in bucket.written_by for bucket in bucket_table.BUCKETS)


def test_every_stored_event_has_somebody_to_write_its_letter() -> None:
    assert all(pipeline.letter_writer(row.event) in pipeline.STAGES for row in pipeline.ROWS if row.stream)
    assert pipeline.letter_writer("requested") == "context-build"
    assert pipeline.letter_writer("nonsense") is None


def test_a_stage_binds_one_consumer_per_stream() -> None:
    bound = [(route.stage, route.stream) for route in pipeline.routes()]
    assert len(bound) == len(set(bound))
    assert {stage for stage, _ in bound} == set(pipeline.STAGES)


def test_every_routed_subject_is_kept_by_its_stream() -> None:
    for route in pipeline.routes():
        kept = pipeline.stream_subjects(route.stream)
        for subject in route.subjects:
            assert any(each.startswith(subject.removesuffix(">")) for each in kept), subject


def test_clients_publish_to_requests_alone_and_by_known_kinds() -> None:
    published = {row.event for row in pipeline.ROWS if pipeline.CLIENT in row.published_by}
    assert {row.stream for row in pipeline.ROWS if row.event in published} == {pipeline.REQUESTS}
    kept = pipeline.stream_subjects(pipeline.REQUESTS)
    assert set(kept) == {f"gen.{event}.{kind}.*" for event in published for kind in KINDS}
