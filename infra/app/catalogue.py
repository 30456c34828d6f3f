"""Catalogue: the content kinds of this process with their schemas, limits and routes, and the prepared contents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from contracts.content.registry import CUSTOM, Registry
from contracts.kinds import BUILT_IN, KINDS
from infra.providers import routing
from infra.settings.narrative import KindLimits
from infra.stores import samples as sample_store

if TYPE_CHECKING:
    from contracts.ports import Sample
    from infra.settings.narrative import ModelDefaults
    from infra.settings.settings import Settings
    from infra.stores.samples import SampleStore


class CallLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a call to a model."""

    max_tokens: int
    timeout_s: float


class KindEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A content kind."""

    kind: str
    #: ``False``: an installed extension brings it.
    built_in: bool
    #: JSON Schema of its documents; ``None``: each request brings its own.
    schema: dict[str, Any] | None
    #: Deadline of requests that name none.
    deadline_ms: int
    freeform: CallLimits
    structuring: CallLimits
    #: Providers in the order in which they are asked; empty: model calls are turned off.
    providers: tuple[str, ...]
    #: Golden samples of it.
    samples: int


class SampleEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A prepared content, without the content."""

    #: File name.
    name: str
    kind: str
    use: Literal["golden_sample", "default_content"]
    rating: str
    tags: tuple[str, ...]
    author: str | None
    #: It stands in only where no other one fits.
    last_resort: bool
    #: SHA-256 of the content.
    hash: str


class SampleContent(SampleEntry, frozen=True, kw_only=True):
    """A prepared content."""

    content: Any


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """What content there can be."""

    kinds: tuple[KindEntry, ...]
    #: Golden samples kind by kind, then default contents.
    samples: tuple[SampleContent, ...]

    def find_sample(self, name: str) -> SampleContent | None:
        """The first content with a file name; ``None``: there is none."""
        return next((each for each in self.samples if each.name == name), None)


def read_catalogue(settings: Settings) -> Catalogue:
    """Read it from the files of these settings.

    Raises:
        UnderstudyError: samples or settings that cannot be used.
    """
    store = sample_store.load(*settings.sample_folders)
    routes = dict(routing.chains(settings)) if settings.use_local_model else {}
    return Catalogue(
        kinds=tuple(_kind(settings, name, routes.get(name, ()), store) for name in KINDS),
        samples=(
            *(_sample(each, "golden_sample") for each in store.golden_samples()),
            *(_sample(each, "default_content") for each in store.default_contents().values()),
        ),
    )


def without_content(sample: SampleContent) -> SampleEntry:
    """A prepared content for a list."""
    return SampleEntry(**{name: getattr(sample, name) for name in SampleEntry.__struct_fields__})


def _kind(settings: Settings, kind: str, providers: tuple[str, ...], store: SampleStore) -> KindEntry:
    defaults = settings.narrative.defaults
    own = defaults.kinds.get(kind, KindLimits())
    return KindEntry(
        kind=kind,
        built_in=kind in BUILT_IN,
        schema=None if kind == CUSTOM else dict(Registry().schema(kind, None)),
        deadline_ms=settings.deadline_ms,
        freeform=_limits(defaults.freeform, own.freeform.max_tokens),
        structuring=_limits(defaults.structuring, own.structuring.max_tokens),
        providers=tuple(providers),
        samples=len(store.of_kind(kind)),
    )


def _limits(defaults: ModelDefaults, own: int | None) -> CallLimits:
    return CallLimits(max_tokens=own or defaults.max_tokens, timeout_s=defaults.timeout)


def _sample(sample: Sample, use: Literal["golden_sample", "default_content"]) -> SampleContent:
    return SampleContent(
        name=sample.name,
        kind=sample.kind,
        use=use,
        rating=str(sample.rating),
        tags=sample.tags,
        author=sample.author,
        last_resort=sample.last_resort,
        hash=sample.hash,
        content=sample.content,
    )
