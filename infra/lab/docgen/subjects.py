"""docs/subjects.md: every message on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from contracts import (
    bucket_table,
    envelope,
    errors,
    helper_tasks,
    lineage,
    pipeline,
    request,
    result,
    timestamp,
    usage,
)
from contracts import events as ev
from contracts.kinds import KINDS
from contracts.nodes import adjacent_scenes, node
from contracts.policy import budget, budget_scope, cache_key, experiments, prompts, rating, social
from contracts.subjects import REQUEST_ID
from infra.lab.docgen import bodies, comments, markdown, schemas
from infra.lab.docgen.markdown import code, codes, table
from infra.nats import topology, topology_config, topology_fields
from infra.settings.settings import Settings

_SOURCES: Final = "contracts/pipeline.py, contracts/bucket_table.py, contracts/events.py, contracts/request.py and contracts/result.py"


def page() -> str:
    """The page."""
    said = comments.of(
        ev,
        result,
        errors,
        cache_key,
        experiments,
        node,
        prompts,
        request,
        adjacent_scenes,
        social,
        budget,
        budget_scope,
        rating,
        usage,
        helper_tasks,
        lineage,
    )
    own = [row.body for row in pipeline.ROWS if row.body is not None]
    structs, enums = bodies.parts([*own, ev.DeadLetter])
    return markdown.page(
        "# Subjects and events",
        markdown.notice(_SOURCES),
        _grammar(),
        "## Events",
        _events(),
        "## Who may publish what",
        "Only stages may publish `gen.result`: otherwise a result would prove nothing. "
        "[Operations](operations.md#an-external-nats-server-or-cluster) turns this table into credentials.",
        _publishers(),
        "## Streams and buckets",
        "Defaults of `understudy topology apply`; it keeps an operator's larger limits.",
        _streams(),
        "What the buckets are for, and who needs them. All of it may be lost: the log is the record.",
        _buckets(),
        "## Consumers",
        "One durable pull consumer per stage and stream. Stages bind to them by name and never create them.",
        _consumers(),
        "## Headers",
        "CloudEvents 1.0 in binary mode. Requests need no headers; messages of stages have all of these. "
        "The example is a `drafted` event.",
        _headers(),
        "## The request",
        f"Body of `gen.requested.<kind>.<request_id>`: a JSON object of at most {request.MAX_BODY // 1024} KiB. "
        "Every name is accepted in snake_case and in camelCase; an unknown name is refused. "
        'The smallest request is `{"prompt": "a forest with three coins"}`.',
        *_models(
            (request.GenerationRequest, request.SamplingParams, node.Fallback, request.PlayerContext), said
        ),
        "[Nodes](nodes.md) describes nodes, their fields, and how layers are merged.",
        *_models(
            (node.Node, node.Style, node.Duration, node.Constraints, node.NodeFallback, node.NodeBudget), said
        ),
        *_models((prompts.PromptConfig, adjacent_scenes.SceneRef), said),
        "[Worlds](social.md) describes the effect of `social` and `world`.",
        *_models((social.Social, social.Preferences), said),
        "## Bodies",
        "JSON. Readers ignore fields that they do not know, and every field added later has a default: "
        "stored events always decode.",
        *_bodies(own, said),
        "## Parts of bodies",
        *_sections((cls for cls in structs if cls not in own and cls is not ev.DeadLetter), said),
        "## Values",
        *(f"### {each.__name__}\n\n{bodies.values_of(each, said)}" for each in enums),
        "## Status and origin",
        "The possible pairs of status and origin. A result with another pair cannot be built, nor a fallback "
        "without a reason. *Usable*: the client can continue with it, and `understudy request --wait` exits 0.",
        _endings(),
    )


def _grammar() -> str:
    return (
        "`gen.<event>.<kind>.<request_id>`: `gen.*.*.<request_id>` has every event of one request, `gen.failed.>` has "
        f"every failure. `<kind>` is one of {codes(KINDS)}; `<request_id>` matches `{REQUEST_ID.pattern}`. "
        "A timer has one more token if its request has several timers (`gen.timer.<kind>.<request_id>.<slot>`). "
        "Dead letters are on `dead.<stage>.<kind>.<request_id>`; if the subject itself cannot be parsed, on "
        "`dead.<stage>.unknown.<stream>-<sequence>`."
    )


def _events() -> str:
    return table(
        ("event", "published by", "consumed by", "stored in", "meaning"),
        [
            (
                _event(row),
                ", ".join(row.published_by),
                ", ".join(row.consumed_by),
                row.stream or "nothing (core NATS)",
                row.says,
            )
            for row in pipeline.ROWS
        ],
    )


def _event(row: pipeline.Row) -> str:
    if row.stream == pipeline.REQUESTS:
        return f"[`{row.event}`](#the-request)"
    return f"[`{row.event}`](#{row.event})" if row.body else code(row.event)


def _publishers() -> str:
    names = (pipeline.CLIENT, *pipeline.STAGES)
    rows: list[tuple[str, str]] = []
    for name in names:
        events = [f"gen.{row.event}.>" for row in pipeline.ROWS if name in row.published_by]
        letters = [] if name == pipeline.CLIENT else [f"dead.{name}.>"]
        rows.append((name, codes([*events, *letters])))
    return table(("publisher", "subjects"), rows)


def _streams() -> str:
    wanted = topology.desired_topology(Settings.model_construct())
    budgets = topology_config.byte_budgets(Settings.model_construct())
    rows: list[tuple[str, ...]] = []
    for name, config in wanted.streams.items():
        limit = topology_fields.show("max_bytes", config["max_bytes"])
        if config["max_bytes"] < 0 and name in budgets:
            limit = f"none; the sweeper keeps it under {budgets[name]:,}"
        able = [field for field in topology_fields.FLAGS if config.get(field)]
        rows.append(
            (
                code(name),
                codes(config["subjects"]),
                topology_fields.show("max_age", config["max_age"]),
                limit,
                code(config["discard"]),
                codes(able),
            )
        )
    return table(("stream", "subjects", "max age", "max bytes", "discard", "features"), rows)


def _buckets() -> str:
    rows = [
        (
            code(bucket.name),
            "key-value" if bucket.store == "KV" else "objects",
            ", ".join(bucket.written_by),
            ", ".join(bucket.read_by),
            _life(bucket),
            bucket.says,
        )
        for bucket in bucket_table.BUCKETS
    ]
    return table(("bucket", "store", "written by", "read by", "kept for", "meaning"), rows)


def _life(bucket: bucket_table.Bucket) -> str:
    if bucket.life_s:
        return topology_fields.show("max_age", bucket.life_s * 10**9)
    return "as each entry says" if bucket.store == "KV" else "ever"


def _consumers() -> str:
    consumers = topology.desired_topology(Settings.model_construct()).consumers
    rows = [
        (
            code(route.durable),
            route.stream,
            codes(route.subjects),
            topology_fields.show("ack_wait", consumers[route.stream, route.durable]["ack_wait"]),
        )
        for route in pipeline.routes()
    ]
    return table(("consumer", "stream", "reads", "ack wait"), rows)


def _headers() -> str:
    sample = envelope.headers(
        name="drafted",
        version=1,
        kind="layout",
        request_id="hello-1",
        stage="freeform-gen",
        attempt=1,
        time=timestamp.format_s(1_800_000_000.0),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        request_seq=1,
    )
    return table(("header", "value"), [(code(name), code(value)) for name, value in sample.items()])


def _models(models: Iterable[type[BaseModel]], said: dict[str, comments.ClassComments]) -> list[str]:
    found: list[str] = []
    for model in models:
        schema: dict[str, Any] = model.model_json_schema(by_alias=False)
        definitions: dict[str, Any] = schema.get("$defs", {})
        rows: list[tuple[str, ...]] = []
        for name, field in model.model_fields.items():
            alias = field.alias or name
            shown = alias if name.endswith("_") else name
            default = "required" if field.is_required() else _default(field.get_default())
            meaning = said[model.__name__].fields.get(name, "")
            rows.append(
                (code(shown), schemas.allowed(schema["properties"][name], definitions), default, meaning)
            )
        text = table(("field", "allowed values", "default", "meaning"), rows)
        found.append(f"### {model.__name__}\n\n{said[model.__name__].docstring}\n\n{text}")
    return found


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "its defaults"
    return code(msgspec.json.encode(value).decode())


def _bodies(own: list[type[ev.Event]], said: dict[str, comments.ClassComments]) -> list[str]:
    sections = [f"### {body.name}\n\n{_body(body, said)}" for body in own]
    letter = (
        "### dead letter\n\nBody on `dead.>`. `DEAD` also stores the broker's advisories about messages that it gives up "
        f"on: {codes(pipeline.ADVISORIES)}.\n\n{bodies.fields_of(ev.DeadLetter, said)}"
    )
    return [*sections, letter]


def _body(body: type[ev.Event], said: dict[str, comments.ClassComments]) -> str:
    return f"{code(f'{envelope.TYPE_PREFIX}{body.name}.v{body.version}')}\n\n{bodies.fields_of(body, said)}"


def _sections(structs: Iterable[type[msgspec.Struct]], said: dict[str, comments.ClassComments]) -> list[str]:
    return [
        f"### {cls.__name__}\n\n{said[cls.__name__].docstring}\n\n{bodies.fields_of(cls, said)}"
        for cls in structs
    ]


def _endings() -> str:
    return table(
        ("status", "origin", "usable"),
        [
            (code(status), codes(sorted(origins)), "yes" if status in result.USABLE else "no")
            for status, origins in result.ORIGINS_OF.items()
        ],
    )
