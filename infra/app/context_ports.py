"""What does context-build need in a process, and what would it decide about a request that nobody sends?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from contracts import events as ev
from contracts import pipeline
from contracts.content.registry import Registry
from contracts.envelope import Received, Requested
from contracts.kinds import KINDS
from contracts.policy import fingerprint
from infra.app.schema_checks import CheckedContents
from infra.providers.routing import refused_schemas, routes
from infra.stores import prompts as prompt_store
from infra.stores import samples as sample_store
from infra.stores import templates as template_store
from infra.stores import word_lists
from infra.stores import worlds as world_store
from stages.context_build import handle as context_build
from stages.structuring.prompts import structuring_prompt

if TYPE_CHECKING:
    from contracts.outcome import Outcome
    from contracts.policy.social import Worlds
    from contracts.ports import Contents, Prompts, Samples, Templates
    from infra.settings.narrative import ModelDefaults
    from infra.settings.settings import Settings


def dry_run(settings: Settings, kind: str, body: bytes, *, now_ms: int) -> Outcome:
    """What context-build decides about a request that nobody sends.

    Args:
        settings: this process's settings.
        kind: content kind.
        body: the request's body.
        now_ms: ms since the epoch.

    Raises:
        UnderstudyError: samples, prompts or settings that cannot be used.
    """
    ports = context_ports(
        settings,
        contents=CheckedContents(Registry(refuses=refused_schemas(settings))),
        samples=sample_store.load(*settings.sample_folders),
        prompts=prompt_store.load(*settings.prompt_folders),
        templates=template_store.load(settings.templates_dir),
        worlds=world_store.load(settings.worlds_dir),
    )
    received = Received(
        event=Requested(body=body),
        name="requested",
        kind=kind,
        request_id="dry-run",
        stream=pipeline.REQUESTS,
        sequence=0,
        time_ms=now_ms,
    )
    return asyncio.run(context_build.handle(received, **ports))


def context_ports(
    settings: Settings,
    *,
    contents: Contents,
    samples: Samples,
    prompts: Prompts,
    templates: Templates,
    worlds: Worlds,
) -> dict[str, Any]:
    """What :func:`stages.context_build.handle.handle` is given beside its message."""
    defaults = settings.narrative.defaults
    return {
        "contents": contents,
        "samples": samples,
        "prompts": prompts,
        "templates": templates,
        "worlds": worlds,
        "freeform": _params(defaults.freeform),
        "structuring": _params(defaults.structuring),
        "default_deadline_ms": settings.deadline_ms,
        "routes": _routes(settings, contents),
    }


def _routes(settings: Settings, contents: Contents) -> dict[str, str]:
    """What writes, structures and judges each kind; none when nothing is kept."""
    if not settings.result_cache.enabled:
        return {}
    # The rules as Python shows them: the name of their class is part of every cache key.
    words = fingerprint.digest_text(str(word_lists.load(settings.rating_words).rules))
    form = forms(contents)
    return {kind: f"{route} {words} {form[kind]}" for kind, route in routes(settings).items()}


def forms(contents: Contents) -> dict[str, str]:
    """How each kind is put into its schema: a digest that changes when that does."""
    found: dict[str, str] = {}
    for kind in KINDS:
        schema = "" if kind == "custom" else msgspec.json.encode(contents.schema(kind, None)).decode()
        found[kind] = fingerprint.digest_text(structuring_prompt(kind, "", schema, ()))
    return found


def _params(defaults: ModelDefaults) -> ev.Params:
    return ev.Params(
        temperature=defaults.temperature,
        top_p=defaults.top_p,
        max_tokens=defaults.max_tokens,
        seed=0,
        timeout_s=defaults.timeout,
    )
