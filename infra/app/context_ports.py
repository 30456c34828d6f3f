"""Ports of context-build, built from settings; the dry run of a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from contracts import events as ev
from contracts import pipeline
from contracts.content.registry import Registry
from contracts.envelope import Received, Requested
from contracts.experiments import NO_EXPERIMENTS
from contracts.policy import fingerprint
from infra.app.enhancement import enhancement_form
from infra.app.schema_checks import CheckedContents
from infra.app.schema_forms import schema_forms
from infra.providers.routing import refused_schemas, routes
from infra.stores import prompts as prompt_store
from infra.stores import samples as sample_store
from infra.stores import templates as template_store
from infra.stores import word_lists
from infra.stores import worlds as world_store
from stages.context_build.handle import BriefPorts, build

if TYPE_CHECKING:
    from contracts.experiments import Experiments
    from contracts.outcome import Outcome
    from contracts.policy.social import Worlds
    from contracts.ports import Contents, Prompts, Samples, Templates
    from infra.settings.narrative import Defaults, KindLimits, ModelDefaults
    from infra.settings.settings import Settings


#: Id of a request that is not sent.
DRY_RUN: Final = "dry-run"


def dry_run(settings: Settings, kind: str, body: bytes, *, now_ms: int) -> Outcome:
    """What context-build decides about a request that is not sent; cache and single flight have no part in it.

    Args:
        settings: this process's settings.
        kind: content kind.
        body: the request's body.
        now_ms: ms since the epoch.

    Raises:
        UnderstudyError: samples, prompts or settings that cannot be used.
    """
    return asyncio.run(build(unsent(kind, body, now_ms=now_ms), load_ports(settings)))


def load_ports(settings: Settings) -> BriefPorts:
    """What a brief is made from, read from the files of these settings.

    Raises:
        UnderstudyError: samples, prompts or settings that cannot be used.
    """
    return brief_ports(
        settings,
        contents=CheckedContents(Registry(refuses=refused_schemas(settings))),
        samples=sample_store.load(*settings.sample_folders),
        prompts=prompt_store.load(*settings.prompt_folders),
        templates=template_store.load(settings.templates_dir),
        worlds=world_store.load(settings.worlds_dir),
    )


def unsent(kind: str, body: bytes, *, now_ms: int) -> Received[Requested]:
    """A request as context-build would get it, although nobody sends it.

    Args:
        kind: content kind.
        body: the request's body.
        now_ms: when it would be stored, ms since the epoch.
    """
    return Received(
        event=Requested(body=body),
        name="requested",
        kind=kind,
        request_id=DRY_RUN,
        stream=pipeline.REQUESTS,
        sequence=0,
        time_ms=now_ms,
    )


def brief_ports(
    settings: Settings,
    *,
    contents: Contents,
    samples: Samples,
    prompts: Prompts,
    templates: Templates,
    worlds: Worlds,
    experiments: Experiments = NO_EXPERIMENTS,
) -> BriefPorts:
    """What a brief is made from, with the parameters of these settings."""
    defaults = settings.narrative.defaults
    return BriefPorts(
        contents=contents,
        samples=samples,
        prompts=prompts,
        templates=templates,
        worlds=worlds,
        freeform=_params(defaults.freeform),
        structuring=_params(defaults.structuring),
        kinds={kind: _limited(defaults, limits) for kind, limits in defaults.kinds.items()},
        default_deadline_ms=settings.deadline_ms,
        routes=_routes(settings, contents),
        experiments=experiments,
    )


def _routes(settings: Settings, contents: Contents) -> dict[str, str]:
    """What writes, structures and checks each kind; empty where the cache is disabled."""
    if not settings.result_cache.enabled:
        return {}
    # The rules as Python shows them: their class name is part of every cache key.
    words = fingerprint.digest_text(str(word_lists.load(settings.rating_words).rules))
    form, enhanced = schema_forms(contents), enhancement_form(settings)
    return {kind: f"{route} {words} {form[kind]}{enhanced}" for kind, route in routes(settings).items()}


def _limited(defaults: Defaults, limits: KindLimits) -> tuple[ev.Params, ev.Params]:
    """The parameters of both calls of a kind with limits of its own."""
    freeform, structuring = _params(defaults.freeform), _params(defaults.structuring)
    return (
        msgspec.structs.replace(freeform, max_tokens=limits.freeform.max_tokens or freeform.max_tokens),
        msgspec.structs.replace(
            structuring, max_tokens=limits.structuring.max_tokens or structuring.max_tokens
        ),
    )


def _params(defaults: ModelDefaults) -> ev.Params:
    return ev.Params(
        temperature=defaults.temperature,
        top_p=defaults.top_p,
        max_tokens=defaults.max_tokens,
        seed=0,
        timeout_s=defaults.timeout,
    )
