"""Every role against every subject: the broker allows what the tables say, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from understudy_client.connection import Refusal, flushed, refusal

from contracts import pipeline, roles
from contracts.bucket_table import ASSETS, BUCKETS, FORGET
from contracts.pipeline import CLIENT, DEAD, EVENTS, OPERATOR, REQUESTS, ROWS, STAGE_OF, STAGES
from tests.security.servers import CLIENTS, GROUPS, SecuredServer, all_roles, secured_server

_LOG = (REQUESTS, EVENTS, DEAD)
_STREAMS = (*_LOG, *(bucket.stream for bucket in BUCKETS))
_ROUTES = {(route.stream, route.durable) for route in pipeline.routes()}
#: Calls of the JetStream API about a stream, and who may make them on which.
_ADMIN = {
    "STREAM.CREATE": {"provisioner": _STREAMS},
    "STREAM.UPDATE": {"provisioner": _STREAMS, "fallback": (REQUESTS,)},
    "STREAM.DELETE": {},
    "STREAM.SNAPSHOT": {},
    "STREAM.RESTORE": {},
    "STREAM.PURGE": {OPERATOR: _STREAMS, "audit": (REQUESTS, EVENTS)},
    "STREAM.MSG.DELETE": {OPERATOR: _STREAMS, "gateway": (DEAD,), "audit": (REQUESTS, EVENTS)},
    "STREAM.LIST": {},
    "STREAM.PEER.REMOVE": {},
    "STREAM.LEADER.STEPDOWN": {},
    "CONSUMER.CREATE": {OPERATOR: _LOG, "gateway": _LOG},
    "CONSUMER.LIST": {},
    "CONSUMER.NAMES": {},
}
#: The same about a consumer.
_CONSUMERS = {
    "CONSUMER.CREATE": {OPERATOR, "gateway", "provisioner"},
    "CONSUMER.DURABLE.CREATE": {"provisioner"},
    "CONSUMER.DELETE": {OPERATOR, "gateway", "provisioner"},
    "CONSUMER.PAUSE": {"provisioner"},
    "CONSUMER.MSG.NEXT": set[str](),
    "CONSUMER.RESET": set[str](),
}


def _parties(role: str) -> set[str]:
    """Whose rows of the tables a role has."""
    stages = set(STAGES if role == roles.ALL_STAGES else role.split("_")) & set(STAGES)
    if role in {CLIENT, *CLIENTS}:
        return {CLIENT}
    return stages or ({OPERATOR, CLIENT, role} if role in {OPERATOR, "gateway"} else {role})


def _publishing(role: str) -> Iterator[tuple[str, bool]]:
    """Subjects, and whether the tables let a role publish there."""
    who = _parties(role)
    outside = who == {CLIENT}
    stages = who & set(STAGES)
    for row in ROWS:
        slot = ".1" if row.event == "timer" else ""
        own = bool(who & set(row.published_by)) or (role == "provisioner" and row.event == "cancelled")
        yield f"gen.{row.event}.layout.x{slot}", own
    yield "gen.unheard.layout.x", False
    for stage in STAGES:
        yield f"dead.{stage}.layout.x", stage in stages
    for bucket in BUCKETS:
        writes = bool(who & set(bucket.written_by)) and not outside
        for subject in bucket.subjects:
            yield subject.replace(">", "key"), writes
    yield from _api(role, who, stages, outside=outside)
    yield "$SYS.REQ.SERVER.PING", False
    yield "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.EVENTS.audit", False
    for other in ("_INBOX.x", "_INBOX_operator.x", "_INBOX_alice.x", "_INBOX_fallback.x"):
        yield other, False


def _api(role: str, who: set[str], stages: set[str], *, outside: bool) -> Iterator[tuple[str, bool]]:
    yield "$JS.API.INFO", role in {OPERATOR, "gateway", "provisioner"}
    inspects = role in {OPERATOR, "gateway"}
    # The gateway has the operator's rows of the tables, and deletes nothing but letters.
    administers = who - {OPERATOR} if role == "gateway" else who
    buckets = {bucket.stream: bucket for bucket in BUCKETS}
    for stream in _STREAMS:
        yield f"$JS.API.STREAM.INFO.{stream}", not outside
        bucket = buckets.get(stream)
        uses = bucket is not None and bool(who & {*bucket.written_by, *bucket.read_by})
        reads = inspects or (uses and not outside)
        reads = reads or (bool(stages) and stream in {REQUESTS, EVENTS})
        revises = bool(stages & {"audit", *pipeline.ROW_OF["revised"].published_by})
        reads = reads or (revises and stream == DEAD)
        reads = reads or (role == "provisioner" and stream in _LOG)
        yield f"$JS.API.DIRECT.GET.{stream}", reads or (outside and stream == ASSETS.stream)
        yield f"$JS.API.DIRECT.GET.{stream}.any.thing", inspects or (uses and not outside)
        objects = bucket is not None and bucket.store == "OBJ" and bool(who & set(bucket.written_by))
        leader = stream == REQUESTS and bool(stages or inspects)
        yield f"$JS.API.STREAM.MSG.GET.{stream}", leader or (objects and not outside)
        for call, allowed in _ADMIN.items():
            may = any(stream in on for party, on in allowed.items() if party in administers)
            yield f"$JS.API.{call}.{stream}", may or (call == "STREAM.PURGE" and objects and not outside)
    for event in ("requested", "result", "context_built"):
        for stream in (REQUESTS, EVENTS):
            allowed = (stream, event) in {(REQUESTS, "requested"), (EVENTS, "result")}
            yield f"$JS.API.DIRECT.GET.{stream}.gen.{event}.layout.y", inspects or (outside and allowed)
    for stream in _LOG:
        for consumer in (*STAGES, "stranger"):
            yield from _consumer(stream, consumer, who)


def _consumer(stream: str, consumer: str, who: set[str]) -> Iterator[tuple[str, bool]]:
    at = f"{stream}.{consumer}"
    own = (stream, consumer) in _ROUTES and consumer in who
    sweeps = "audit" in who and stream in {REQUESTS, EVENTS}
    looks = bool(who & {OPERATOR, "gateway", "provisioner"})
    yield f"$JS.API.CONSUMER.INFO.{at}", own or sweeps or looks
    yield f"$JS.ACK.{at}.1.2.3.4.5", own
    yield f"$JS.ACK.domain.hash.{at}.1.2.3.4.5.token", own
    for call, allowed in _CONSUMERS.items():
        yield f"$JS.API.{call}.{at}", bool(who & allowed) or (call == "CONSUMER.MSG.NEXT" and own)


def _hearing(role: str) -> Iterator[tuple[str, bool]]:
    """Subjects, and whether the tables let a role subscribe to them."""
    who = _parties(role)
    stages = who & set(STAGES)
    inspects = role in {OPERATOR, "gateway"}
    rows = [STAGE_OF[stage] for stage in stages]
    stops = any(row.expensive or row.helper or row.arms_deadlines for row in rows)
    for row in ROWS:
        heard = inspects or (who == {CLIENT} and CLIENT in row.consumed_by)
        yield f"gen.{row.event}.>", heard or (stops and row.event in {"result", "shadowed"})
    yield FORGET, bool(stages)
    yield "gen.>", inspects
    yield "dead.>", inspects
    for bucket in BUCKETS:
        for subject in bucket.subjects:
            yield subject, bool(stages & set(bucket.read_by))
    for subject in (">", "$JS.>", "$JS.API.>", "$JS.ACK.>", "$SYS.>", "_INBOX.>", "*.>"):
        yield subject, False
    for other in all_roles():
        yield f"{other.inbox}.>", other.name == role


@pytest.mark.parametrize("role", [each.name for each in all_roles()])
async def test_the_broker_allows_a_role_what_the_tables_say(role: str, tmp_path: Path) -> None:
    publishing, hearing = dict(_publishing(role)), dict(_hearing(role))
    async with secured_server(tmp_path) as server:
        refused = await _try(server, role, publishing, hearing)
    for verb, wanted in (("publish", publishing), ("subscribe to", hearing)):
        denied = {each.subject for each in refused if each.verb == verb}
        found = {subject: subject.lower() not in denied for subject in wanted}
        assert {subject for subject in wanted if found[subject] != wanted[subject]} == set()


async def _try(
    server: SecuredServer, role: str, publishing: dict[str, bool], hearing: dict[str, bool]
) -> list[Refusal]:
    said: list[str] = []
    nc = await server.connect(role, said)
    for subject in publishing:
        await nc.publish(subject, b"")
    for subject in hearing:
        await nc.subscribe(subject)
    await flushed(nc)
    await nc.close()
    return [each for text in said if (each := refusal(Exception(text))) is not None]


def test_every_group_has_the_rows_of_its_stages_and_no_more() -> None:
    for group in GROUPS:
        whole, parts = roles.of_stages(group), [roles.of_stages((stage,)) for stage in group]
        assert set(whole.publish) == {each for part in parts for each in part.publish}
        assert set(whole.subscribe) == {each for part in parts for each in part.subscribe}
