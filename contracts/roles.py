"""Roles at the broker: who connects, and what each may publish and subscribe to.

Everything is computed from the tables of :mod:`contracts.pipeline` and :mod:`contracts.bucket_table`; the broker's
configuration, the texts of refusals, the tests and docs/roles.md are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from contracts import pipeline
from contracts.bucket_table import ASSETS, BUCKETS, FORGET
from contracts.pipeline import CLIENT, DEAD, EVENTS, OPERATOR, REQUESTS, ROWS, STAGES

#: Makes streams and consumers; for ``understudy topology apply``.
PROVISIONER: Final = "provisioner"
#: The HTTP gateway, and the console behind it.
GATEWAY: Final = "gateway"
#: A process that hosts every stage.
ALL_STAGES: Final = "stages"
#: A role's name is a token of subjects and a part of file names.
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,48}")

_API: Final = "$JS.API."
_LOG: Final = (REQUESTS, EVENTS, DEAD)
#: Every stream of the pipeline, those of buckets too.
STREAMS: Final = (*_LOG, *(bucket.stream for bucket in BUCKETS))
#: What a client may use of the pipeline's account; its broker answers into the client's account alone.
CLIENT_SERVICES: Final = (
    *(f"gen.{row.event}.*.*" for row in ROWS if CLIENT in row.published_by),
    # The last message on a subject: a body is refused, so no other message can be asked for.
    f"{_API}DIRECT.GET.{EVENTS}.gen.result.>",
    f"{_API}DIRECT.GET.{REQUESTS}.gen.requested.>",
    # Large content has its pieces on one subject: only this form reads them.
    f"{_API}DIRECT.GET.{ASSETS.stream}",
)
#: What a client hears of the pipeline's account.
CLIENT_STREAMS: Final = tuple(f"gen.{row.event}.>" for row in ROWS if CLIENT in row.consumed_by)


class BrokerRole(msgspec.Struct, frozen=True, kw_only=True):
    """What one user of the broker may do; everything else is refused."""

    name: str
    #: Subjects, wildcards allowed.
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    @property
    def inbox(self) -> str:
        """Prefix of the subjects on which it gets answers; nobody else may subscribe there."""
        return inbox_of(self.name)

    @property
    def hears(self) -> tuple[str, ...]:
        """Everything that it may subscribe to."""
        return (f"{self.inbox}.>", *self.subscribe)


class RoleError(ValueError):
    """A name that no role can have; the text names the fix."""


def inbox_of(name: str) -> str:
    """The inbox prefix of a role."""
    return f"_INBOX_{name}"


def check_name(name: str) -> str:
    """Check the name of a role.

    Raises:
        RoleError: it is none.
    """
    if NAME.fullmatch(name) is None:
        raise RoleError(f"{name!r} cannot name a role: use up to 48 letters, digits, '-' and '_'")
    return name


def client(name: str = CLIENT) -> BrokerRole:
    """A client of the pipeline, in an account of its own.

    Raises:
        RoleError: the name cannot be one.
    """
    return BrokerRole(name=check_name(name), publish=CLIENT_SERVICES, subscribe=CLIENT_STREAMS)


def name_of(stages: Iterable[str]) -> str:
    """The role of a process that hosts some stages."""
    hosted = set(stages)
    ordered = [stage for stage in STAGES if stage in hosted]
    return ALL_STAGES if len(ordered) == len(STAGES) else "_".join(ordered)


def group_of(name: str) -> tuple[str, ...]:
    """The stages of a role that :func:`name_of` named; empty: it is another one."""
    stages = tuple(name.split("_"))
    return stages if set(stages) <= set(STAGES) else ()


def of_stages(stages: Sequence[str]) -> BrokerRole:
    """The role of a process that hosts some stages: what each of them may do."""
    publish: list[str] = [f"{_API}STREAM.INFO.{stream}" for stream in STREAMS]
    for stage in stages:
        publish += _stage(stage)
    rows = [pipeline.STAGE_OF[stage] for stage in stages]
    # Work whose request has its answer is stopped (rule 7), and deadlines that are met are forgotten.
    hear = any(row.expensive or row.helper or row.arms_deadlines for row in rows)
    heard = [f"gen.{event}.>" for event in ("result", "shadowed")] if hear else []
    heard.append(FORGET)
    # A copy in memory follows its bucket.
    heard += (each for bucket in BUCKETS if set(stages) & set(bucket.read_by) for each in bucket.subjects)
    return BrokerRole(name=name_of(stages), publish=_unique(publish), subscribe=tuple(heard))


def _stage(stage: str) -> Iterator[str]:
    row = pipeline.STAGE_OF[stage]
    yield from _events(stage)
    yield f"dead.{stage}.>"
    for route in pipeline.routes():
        if route.stage == stage:
            consumer = f"{route.stream}.{route.durable}"
            yield f"{_API}CONSUMER.INFO.{consumer}"
            yield f"{_API}CONSUMER.MSG.NEXT.{consumer}"
            # Both forms of ADR-15 of NATS; which one a server uses is its setting.
            yield f"$JS.ACK.{consumer}.>"
            yield f"$JS.ACK.*.*.{consumer}.>"
    for stream in (REQUESTS, EVENTS):
        yield f"{_API}DIRECT.GET.{stream}"
    # Of the leader: what a server that was away has not caught up with.
    yield f"{_API}STREAM.MSG.GET.{REQUESTS}"
    if stage in pipeline.ROW_OF["revised"].published_by:
        # Is a replay still that of its letter?
        yield f"{_API}DIRECT.GET.{DEAD}"
    yield from _buckets(stage)
    if row.arms_deadlines:
        # Admission: the bound of open requests.
        yield f"{_API}STREAM.UPDATE.{REQUESTS}"
    if row.records:
        # The sweeper, which deletes what the database has.
        yield f"{_API}DIRECT.GET.{DEAD}"
        for stream in (REQUESTS, EVENTS):
            yield f"{_API}CONSUMER.INFO.{stream}.*"
            yield f"{_API}STREAM.PURGE.{stream}"
            yield f"{_API}STREAM.MSG.DELETE.{stream}"


def _events(party: str) -> Iterator[str]:
    return (f"gen.{row.event}.>" for row in ROWS if party in row.published_by)


def _buckets(party: str) -> Iterator[str]:
    for bucket in BUCKETS:
        if party in bucket.written_by:
            yield from bucket.subjects
        if party in (*bucket.written_by, *bucket.read_by):
            yield f"{_API}DIRECT.GET.{bucket.stream}"
            yield f"{_API}DIRECT.GET.{bucket.stream}.>"
        if bucket.store == "OBJ" and party in bucket.written_by:
            # nats-py looks up an object before it writes one.
            yield f"{_API}STREAM.MSG.GET.{bucket.stream}"
            yield f"{_API}STREAM.PURGE.{bucket.stream}"


def _inspection() -> Iterator[str]:
    """What reads the whole pipeline, requests content, and works on dead letters."""
    yield from (f"gen.{row.event}.*.*" for row in ROWS if CLIENT in row.published_by)
    yield from _events(OPERATOR)
    yield from _buckets(OPERATOR)
    yield f"{_API}INFO"
    yield f"{_API}STREAM.MSG.GET.{REQUESTS}"
    for stream in STREAMS:
        yield f"{_API}STREAM.INFO.{stream}"
        yield f"{_API}DIRECT.GET.{stream}"
        yield f"{_API}DIRECT.GET.{stream}.>"
    for stream in _LOG:
        yield f"{_API}CONSUMER.INFO.{stream}.*"
        # An ordered consumer; nats-py uses the first form, others the second.
        yield f"{_API}CONSUMER.CREATE.{stream}"
        yield f"{_API}CONSUMER.CREATE.{stream}.>"
        yield f"{_API}CONSUMER.DELETE.{stream}.*"
    yield "$JS.FC.>"
    yield f"{_API}STREAM.MSG.DELETE.{DEAD}"


def gateway() -> BrokerRole:
    """The HTTP gateway."""
    return BrokerRole(name=GATEWAY, publish=_unique(_inspection()), subscribe=("gen.>", "dead.>"))


def operator() -> BrokerRole:
    """Whoever runs the commands: all that the gateway may do, and deleting what the pipeline stores."""
    deleting = (f"{_API}STREAM.{verb}.{stream}" for verb in ("PURGE", "MSG.DELETE") for stream in STREAMS)
    return BrokerRole(
        name=OPERATOR, publish=_unique((*_inspection(), *deleting)), subscribe=("gen.>", "dead.>")
    )


def provisioner() -> BrokerRole:
    """Whoever creates and changes streams and consumers."""
    publish = [f"{_API}INFO", "gen.cancelled.*.*"]
    for stream in STREAMS:
        publish += [f"{_API}STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "UPDATE")]
    for stream in _LOG:
        publish += [f"{_API}CONSUMER.{verb}.{stream}.*" for verb in ("INFO", "CREATE", "DELETE", "PAUSE")]
        # nats-py's older form.
        publish += [f"{_API}CONSUMER.DURABLE.CREATE.{stream}.*", f"{_API}DIRECT.GET.{stream}"]
    return BrokerRole(name=PROVISIONER, publish=tuple(publish), subscribe=())


def pipeline_roles(groups: Iterable[Sequence[str]] = ()) -> tuple[BrokerRole, ...]:
    """The roles of the pipeline's own account.

    Args:
        groups: stages that one process hosts; each stage alone and all of them have a role in any case.
    """
    found = [of_stages((stage,)) for stage in STAGES]
    found += (of_stages(tuple(group)) for group in (*groups, STAGES))
    by_name = {role.name: role for role in (*found, operator(), gateway(), provisioner())}
    return tuple(by_name.values())


def find(name: str | None) -> BrokerRole | None:
    """The role of a name; a name of nobody in the pipeline is a client's.  ``None``: nobody has that name."""
    if name is None or NAME.fullmatch(name) is None:
        return None
    made = {
        OPERATOR: operator,
        GATEWAY: gateway,
        PROVISIONER: provisioner,
        ALL_STAGES: lambda: of_stages(STAGES),
    }
    if name in made:
        return made[name]()
    stages = group_of(name)
    return of_stages(stages) if stages else client(name)


def covers(pattern: str, subject: str) -> bool:
    """Whether a permission allows a subject; a wildcard in the subject needs one as wide in the permission."""
    allowed, wanted = pattern.split("."), subject.split(".")
    for at, part in enumerate(allowed):
        if part == ">":
            return len(wanted) > at
        if at >= len(wanted) or wanted[at] == ">" or part not in {"*", wanted[at]}:
            return False
    return len(allowed) == len(wanted)


def explain(role: BrokerRole | None, verb: str, subject: str) -> str:
    """Say that the broker refused a subject, and what the role may use.

    Args:
        role: whoever tried; ``None``: it is not known.
        verb: ``publish`` or ``subscribe to``.
        subject: as the broker named it.
    """
    if role is None:
        return (
            f"the broker does not let this user {verb} {subject}; UNDERSTUDY_NATS__KEYS or UNDERSTUDY_NATS__NKEY "
            "names the key of a role that may (docs/roles.md)"
        )
    table = role.publish if verb == "publish" else role.hears
    rows = ", ".join(each for each in table if not each.startswith("$")) or "nothing"
    return (
        f"role {role.name} may not {verb} {subject}; it may {verb} {rows} (docs/roles.md has its whole row)"
    )


def _unique(subjects: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(subjects))
