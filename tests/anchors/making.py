"""What does the code as it is make of a fixture?"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import msgspec
from pydantic_settings import PydanticBaseSettingsSource

from contracts import events as ev
from contracts import pipeline, request
from contracts.content.registry import Registry
from contracts.envelope import Received, Requested
from contracts.expansion import expand
from contracts.kinds import KINDS
from contracts.outcome import Emit, Fail, Outcome, Reject
from infra.app import context_ports
from infra.app.schema_checks import CheckedContents
from infra.settings.settings import Settings
from infra.stores import prompts, samples, templates, worlds
from stages.context_build.handle import BriefPorts, build
from stages.context_build.layering import merge_node, overrides
from tests import lives
from tests.anchors.patches import difference, patched

#: When the request came, ms since the epoch, and its id: those of docs/seeds.md.
AT_MS: Final = 1_763_000_000_000
REQUEST_ID: Final = "req-1"
#: Stands in every key for which models write; what really stands there is what ``settings`` anchors show.
ROUTE: Final = "anchors"


class Fixture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for: a request, or, where it has no kind, settings."""

    #: What it is there to hold, in a sentence.
    says: str
    kind: str | None = None
    request: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    #: The same request in other words: each must come to the same.
    same: tuple[dict[str, Any], ...] = ()
    #: Patches of kind, request or settings, by what is different.
    variants: dict[str, dict[str, Any]] = {}


class Unequal(Exception):  # noqa: N818 - says what they are
    """A request in other words came to something else; the text says where."""


class _Fixed(Settings):
    """Settings that neither the environment nor a file reaches into."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[Settings],
        init_settings: PydanticBaseSettingsSource,
        **others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, others
        return (init_settings,)


def made(fixture: Fixture) -> dict[str, Any]:
    """What a fixture comes to; of its variants, what they change in that.

    Raises:
        Unequal: not all of ``same`` come to the same.
    """
    base = _outcome(fixture)
    for number, other in enumerate(reworded(fixture), start=1):
        change = difference(base, _outcome(other))
        if change:
            raise Unequal(f"number {number} of 'same' comes to something else: {json.dumps(change)}")
    variants = {name: difference(base, _outcome(each)) for name, each in varied(fixture).items()}
    return base | ({"variants": variants} if variants else {})


def reworded(fixture: Fixture) -> tuple[Fixture, ...]:
    """The same request in other words."""
    return tuple(msgspec.structs.replace(fixture, request=other) for other in fixture.same)


def varied(fixture: Fixture) -> dict[str, Fixture]:
    """The variants as fixtures of their own.

    Raises:
        msgspec.ValidationError: one patches what no fixture has.
    """
    plain = msgspec.to_builtins(fixture)
    return {name: msgspec.convert(patched(plain, patch), Fixture) for name, patch in fixture.variants.items()}


def _outcome(fixture: Fixture) -> dict[str, Any]:
    if fixture.kind is None:
        return {"routes": _ports(json.dumps(fixture.settings)).routes}
    body, ports = json.dumps(fixture.request).encode(), _ports(json.dumps(fixture.settings))
    received = Received(
        event=Requested(body=body),
        name="requested",
        kind=fixture.kind,
        request_id=REQUEST_ID,
        stream=pipeline.REQUESTS,
        sequence=1,
        time_ms=AT_MS,
    )
    decided = lives.decided(
        build(received, msgspec.structs.replace(ports, routes=dict.fromkeys(KINDS, ROUTE)))
    )
    told = _told(decided)
    if not isinstance(decided, Reject):
        told |= _laid(fixture.kind, body, ports)
    return _said(told)


def _told(outcome: Outcome) -> dict[str, Any]:
    """What the stage returned."""
    match outcome:
        case Emit(events=(*before, ev.ContextBuilt() as built)):
            brief = msgspec.to_builtins(built.brief)
            # A line of the anchor for each line of the prompt.
            brief["prompt"] = built.brief.prompt.split("\n")
            # Follows from the size of the kind's schema, which its own anchor shows.
            del brief["spender"]["ahead"]
            return {
                "outcome": "context_built",
                "brief": brief,
                "decided": _by_field(built.decided),
                "events": _events(before),
                "warnings": built.trail.warnings,
            }
        case Fail():
            return {
                "outcome": "failed",
                "code": outcome.code,
                "message": outcome.message,
                "events": _events(outcome.events),
                "warnings": outcome.trail.warnings,
            }
        case Reject():
            return {"outcome": "rejected", "code": outcome.code, "message": outcome.message}
        case _:
            raise TypeError(f"context-build does not return {outcome}")


def _laid(kind: str, body: bytes, ports: BriefPorts) -> dict[str, Any]:
    """The node with all layers merged, and what the fallback would do."""
    asked = request.read(body, kind)
    stores = {name: getattr(ports, name) for name in ("samples", "templates", "worlds")}
    merged = merge_node(asked, body, kind, **stores)
    more = expand(asked, templates=ports.templates, overrides=overrides)
    plan = request.plan_fallback(
        asked,
        worlds=ports.worlds,
        default_deadline_ms=ports.default_deadline_ms,
        around=more.layers,
    )
    node = merged.node.model_dump(mode="json", by_alias=False) if merged else None
    return {"node": node, "fallback": plan}


def _by_field(decided: tuple[ev.Decided, ...]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in decided:
        told = msgspec.to_builtins(each)
        found.setdefault(told.pop("field"), []).append(told)
    return found


def _events(events: Any) -> list[dict[str, Any]]:
    return [{"event": each.name, **msgspec.to_builtins(each)} for each in events]


def _said(value: Any) -> Any:
    """As JSON values, without what says nothing."""
    value = msgspec.to_builtins(value)
    match value:
        case dict():
            said = {name: _said(inner) for name, inner in value.items()}
            return {name: inner for name, inner in said.items() if inner not in (None, [], {})}
        case list() | tuple():
            return [_said(inner) for inner in value]
        case _:
            return value


@cache
def _ports(settings: str) -> BriefPorts:
    told = _Fixed(**json.loads(settings))
    return context_ports.brief_ports(
        told,
        contents=CheckedContents(Registry()),
        samples=samples.load(told.samples_dir),
        prompts=prompts.load(),
        templates=templates.load(told.templates_dir),
        worlds=worlds.load(told.worlds_dir),
    )
