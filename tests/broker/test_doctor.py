"""Doctor's checks of a real broker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from sqlalchemy import insert

from contracts import events as ev
from contracts.errors import ErrorCode
from contracts.result import Cost, Meta
from infra.app import doctor, letter_checks
from infra.app.doctor_check import DoctorCheck
from infra.inspect import stats
from infra.inspect.figures import Percentiles
from infra.nats import embedded, topology
from infra.nats.embedded import Embedded
from infra.nats.multiplexer import RequestMultiplexer
from infra.settings.settings import Settings, load
from infra.stores import audit, database
from infra.stores.replay_tables import REPLAY_ITEMS
from tests.broker.audit_fixtures import Postgres, postgres
from tests.broker.conftest import connect
from tests.lives import received, records, success

__all__ = ["postgres"]


def _by_check(rows: tuple[DoctorCheck, ...]) -> Mapping[str, DoctorCheck]:
    return {row.check: row for row in rows}


@pytest.fixture
def there(settings: Settings, nats_url: str) -> Settings:
    return settings.model_copy(update={"nats_url": nats_url})


async def test_a_good_broker_has_only_good_rows(there: Settings) -> None:
    rows = _by_check(await doctor.examine(there))
    for check in (
        *("broker", "broker version", "topology", "retention EVENTS", "consumer EVENTS/fallback"),
        *("storage", "publishing", "clock", "backlog", "dead letters", "ack_wait", "data folder"),
    ):
        assert rows[check].ok, rows[check]
    assert rows["golden samples"].ok, rows["golden samples"]


async def test_drift_and_work_left_lying_are_seen(there: Settings, nc: Client) -> None:
    await nc.jetstream().publish("gen.requested.layout.r1", b"{}")
    await nc.jetstream().delete_consumer("EVENTS", "audit")
    rows = _by_check(await doctor.examine(there))
    assert rows["topology"].detail == "consumer EVENTS/audit: missing"
    assert rows["consumer REQUESTS/context-build"].detail.startswith("1 waiting")
    assert not rows["consumer REQUESTS/context-build"].ok
    assert rows["backlog"].detail.startswith("the oldest unfinished message is ")
    severities = [row.severity for row in await doctor.examine(there)]
    assert severities == sorted(severities, key=["error", "warning", "info", "ok"].index)


async def test_a_paused_consumer_is_seen_before_work_waits(there: Settings, nc: Client) -> None:
    pause = b'{"pause_until": "2099-01-01T00:00:00Z"}'
    await nc.request("$JS.API.CONSUMER.PAUSE.EVENTS.audit", pause)
    row = _by_check(await doctor.examine(there))["topology"]
    assert row.detail.startswith("consumer EVENTS/audit: paused until 2099")
    assert row.fix == "run 'understudy topology apply'"


async def test_a_broker_without_streams_lacks_them_and_nothing_else(
    settings: Settings, bare_url: str
) -> None:
    rows = await doctor.examine(settings.model_copy(update={"nats_url": bare_url}))
    missing = [row for row in rows if row.check == "topology"]
    assert {row.severity for row in missing} == {"error"}
    assert "stream REQUESTS: missing" in {row.detail for row in missing}
    assert _by_check(rows)["clock"].detail.startswith("not known")
    assert not {"publishing", "dead letters", "log"} & {row.check for row in rows}


async def test_a_broker_without_jetstream_is_an_error(
    there: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> None:
        raise topology.TopologyError("the broker has no JetStream; start it with '-js'")

    monkeypatch.setattr(topology, "actual", refused)
    row = _by_check(await doctor.examine(there))["jetstream"]
    assert (row.severity, row.detail, row.fix) == (
        "error",
        "the broker has no JetStream",
        "start it with '-js'",
    )


async def test_no_broker_is_an_error_and_the_rest_is_examined(settings: Settings) -> None:
    rows = _by_check(await doctor.examine(settings))
    assert (rows["broker"].severity, rows["broker"].detail) == ("error", "no broker is known")
    assert rows["broker"].fix.startswith("start one with `understudy up`")
    assert {"python", "database", "golden samples", "gpu", "disk"} <= set(rows)


async def test_a_broken_sample_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "sample_bad.json").write_text("{}")
    rows = _by_check(await doctor.examine(settings.model_copy(update={"samples_dir": tmp_path})))
    assert "sample_bad.json" in rows["golden samples"].detail
    assert not rows["golden samples"].ok


async def test_a_broker_that_stores_nothing_is_an_error(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "compute_max_store", lambda _folder: 500_000)
    settings = load(data_dir=settings.data_dir, broker={"requests_max_bytes": 64 * 1024})
    async with Embedded(tmp_path / "full", sync_interval="2m") as broker:
        await topology.apply_at(broker.url, settings)
        at = settings.model_copy(update={"nats_url": broker.url})
        assert _by_check(await doctor.examine(at))["publishing"].ok
        nc = await connect(broker.url)
        ack: dict[str, object] = {}
        while "error" not in ack:
            ack = json.loads((await nc.request("dead.x.layout.y", b"x" * 50_000)).data)
        await nc.close()
        row = _by_check(await doctor.examine(at))["publishing"]
    assert (row.severity, "stores nothing: insufficient" in row.detail) == ("error", True)


async def test_forged_results_are_named(there: Settings, nc: Client) -> None:
    engine = database.engine_of(there.database)
    database.migrate(engine)
    sink = audit.AuditSink(engine, batch=10)
    now_ms = round(time.time() * 1000)
    forged = [
        received(success(one, 0), one, sequence=n, at_ms=now_ms - 60_000, headers={})
        for n, one in enumerate(("a", "b"))
    ]
    await asyncio.gather(*(sink.add(record) for record in records(forged)))
    await sink.close()
    row = _by_check(await doctor.examine(there))["log"]
    assert (row.ok, row.severity) == (False, "error")
    assert row.detail.startswith(
        "2 events from a publisher that may not publish them, 2 results without a request: a, b"
    )
    assert "understudy why" in row.fix


async def test_a_damaged_database_says_to_move_it_away(settings: Settings) -> None:
    file = Path(settings.database.removeprefix("sqlite:///"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"not a database, but long enough to be looked at" * 100)
    row = _by_check(await doctor.examine(settings))["database"]
    assert row.fix.startswith(f"the file is damaged: move {file} away")


async def test_a_missing_postgresql_database_says_to_create_it(
    settings: Settings, postgres: Postgres
) -> None:
    url = postgres.create("there").replace("/there?", "/missing?")
    row = _by_check(await doctor.examine(settings.model_copy(update={"database_url": url})))["database"]
    assert 'database "missing" does not exist' in row.detail
    assert "createdb missing" in row.fix


async def test_letters_without_an_answer_are_found(there: Settings, nc: Client) -> None:
    def dead(request_id: str) -> tuple[str, bytes]:
        subject = f"gen.drafted.layout.{request_id}"
        letter = ev.DeadLetter(
            code=ErrorCode.GEN_POISON,
            reason="it ended its worker",
            stage="structuring",
            stream="EVENTS",
            sequence=1,
            subject=subject,
            time_ms=1,
            deliveries=3,
        )
        return f"dead.structuring.layout.{request_id}", msgspec.json.encode(letter)

    js, wire = nc.jetstream(), RequestMultiplexer()
    for request_id in ("answered", "ended", "lost", "sh-1-answered"):
        await js.publish(*dead(request_id))
    await js.publish("dead.structuring.unknown.EVENTS-1", dead("player#1")[1])
    await js.publish("gen.result.layout.answered", b"{}")
    await js.publish("gen.shadowed.layout.sh-1-answered", b"{}")
    await wire.open(nc)
    try:
        # The broker gave up on a message that it still has, and on one that is gone.
        ack = await js.publish("gen.drafted.layout.given-up", b"{}")
        for sequence in (ack.seq, 999):
            advisory = {"type": "io.nats.max_deliver", "stream": "EVENTS", "stream_seq": sequence}
            await js.publish(
                "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.EVENTS.x", msgspec.json.encode(advisory)
            )
        letters = await letter_checks.read_latest(wire, last_sequence=7)
        assert [each.request_id for each in letters[-2:]] == ["given-up", None]
        assert {(each.letter, each.data) for each in letters} == {(None, None)}

        async def orphans(*, now_ms: int) -> list[str | None]:
            found = await letter_checks.find_orphans(
                wire, letters, settled={"ended"}, now_ms=now_ms, deadline_ms=1000
            )
            return [each.request_id for each in found]

        stored_ms = letters[-1].time_ms
        assert await orphans(now_ms=stored_ms + 60_000) == [], "its result may still come"
        assert await orphans(now_ms=stored_ms + 62_000) == ["lost", "given-up"]
    finally:
        await wire.close()
    row = _by_check(await doctor.examine(there))["dead letters"]
    assert (row.severity, row.detail.partition(";")[0]) == ("info", "7: 5 GEN_POISON, 2 advisory")


def _took(ms: float) -> Meta:
    return Meta(provider="scripted", requested_at_ms=0, cost=Cost(time_ms={"structuring": ms}))


async def test_the_times_of_the_stages_come_from_the_audit(settings: Settings) -> None:
    engine = database.engine_of(settings.database)
    database.migrate(engine)
    sink = audit.AuditSink(engine, batch=10)
    now_ms = round(time.time() * 1000)
    ended = [
        received(
            success(f"r{number}", 0, meta=_took(float(number))),
            f"r{number}",
            sequence=number,
            at_ms=now_ms - 1000,
            headers={},
        )
        for number in range(1, 11)
    ]
    await asyncio.gather(*(sink.add(record) for record in records(ended)))
    await sink.close()
    assert stats.measure_stages(engine, until_ms=now_ms) == {
        "structuring": Percentiles(p50=5.0, p95=10.0, p99=10.0)
    }
    assert stats.measure_stages(engine, until_ms=now_ms + 2 * 86_400_000) == {}
    engine.dispose()


def test_a_letter_is_settled_by_a_result_or_by_a_replay_that_counts(settings: Settings) -> None:
    engine = database.engine_of(settings.database)
    database.migrate(engine)
    ended = {"ended_at_ms": 5}
    lives = [
        {"request_id": "r1", "replay_of": None, **ended},
        {"request_id": "again", "replay_of": "replayed", **ended},
        {"request_id": "unfinished", "replay_of": "lost", "ended_at_ms": None},
        {"request_id": "sh-1", "replay_of": "compared", "shadow": 1, **ended},
        {"request_id": "withdrawn", "replay_of": "undone", **ended},
    ]
    item = dict.fromkeys(("job", "position", "sequence", "number", "max_tokens"), 1)
    item |= dict.fromkeys(("stream", "kind", "sha256"), "x")
    with engine.begin() as connection:
        for each in lives:
            row = {"life_ms": 1, "kind": "layout", "status": "running", "record": "{}", **each}
            connection.execute(insert(database.GENERATIONS).values(**row))
        undone = {**item, "request_id": "withdrawn", "state": "undone", "cached": False}
        connection.execute(insert(REPLAY_ITEMS).values(**undone))
    asked = ["r1", "replayed", "lost", "compared", "undone", "nobody"]
    assert letter_checks.settled_ids(engine, asked) == {"r1", "replayed"}
    engine.dispose()


async def test_no_secret_is_in_the_report(settings: Settings) -> None:
    private = "sesame-4711"
    at = load(
        data_dir=settings.data_dir,
        nats_url=f"nats://u:{private}@127.0.0.1:1",
        database_url=f"postgresql://a:{private}@127.0.0.1:1/x",
        use_local_model=True,
        narrative={
            "provider": "openai",
            "openai": {"base_url": f"http://u:{private}@127.0.0.1:1/v1", "model": "m", "api_key": private},
        },
    )
    rows = await doctor.examine(at, ask=True)
    found = _by_check(rows)
    assert [found[name].ok for name in ("broker", "database", "provider openai")] == [False, False, False]
    assert private not in str(rows)
