"""Entry points of other packages: providers, content kinds and checks of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any, Final, Protocol, TypeVar

import msgspec

from contracts.errors import Misconfigured

T = TypeVar("T")

PROVIDERS: Final = "understudy.providers"
KINDS: Final = "understudy.kinds"
CHECKS: Final = "understudy.checks"
#: What one entry point of each group is called in a sentence.
_NOUNS: Final = {PROVIDERS: "provider", KINDS: "content kind", CHECKS: "checks"}


class EntryPoints(Protocol):
    """Every entry point of this environment, as :mod:`importlib.metadata` gives them."""

    def select(self, *, group: str) -> Iterable[metadata.EntryPoint]:
        """Those of one group."""
        ...


#: :func:`importlib.metadata.entry_points` outside of tests.
Reader = Callable[[], EntryPoints]


class ExtensionError(Misconfigured):
    """An extension that cannot be used; the text names the entry point, its package and the reason."""


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """One entry point of an installed package."""

    group: str
    name: str
    #: ``module:attribute``.
    value: str
    package: str
    version: str

    @property
    def title(self) -> str:
        """Such as ``content kind quest``."""
        return f"{_NOUNS[self.group]} {self.name}"

    @property
    def source(self) -> str:
        """Such as ``understudy-quest 1.0 (understudy_quest:QUEST)``."""
        return f"{self.package} {self.version} ({self.value})"

    def error(self, reason: str) -> ExtensionError:
        """The error that names this entry point and says what to do."""
        return ExtensionError(
            f"{self.title} of {self.source} cannot be used: {reason}; correct the package or uninstall it"
        )

    def load(self, kind: type[T]) -> T:
        """Import the object that the entry point names.

        Raises:
            ExtensionError: it cannot be imported, or is not of the type.
        """
        found = self._imported()
        if not isinstance(found, kind):
            raise self.error(f"it is of type {type(found).__name__}, not {kind.__name__}")
        return found

    def load_all(self, kind: type[T]) -> tuple[T, ...]:
        """Import the objects that the entry point names: one, or a list or tuple of them.

        Raises:
            ExtensionError: they cannot be imported, or one is not of the type.
        """
        found = self._imported()
        items: tuple[Any, ...] = tuple(found) if isinstance(found, list | tuple) else (found,)
        for item in items:
            if not isinstance(item, kind):
                raise self.error(f"it holds a {type(item).__name__}, not only {kind.__name__}")
        return items

    def _imported(self) -> Any:
        point = metadata.EntryPoint(name=self.name, value=self.value, group=self.group)
        try:
            return point.load()
        except (Exception, SystemExit) as error:  # the module is a stranger's: it may raise anything
            raise self.error(f"{type(error).__name__}: {error}") from error


def find(read: Reader = metadata.entry_points) -> dict[str, tuple[Extension, ...]]:
    """The entry points of each group, by name; nothing is imported."""
    points = read()
    return {
        group: tuple(
            sorted(map(_extension, points.select(group=group)), key=lambda each: (each.name, each.package))
        )
        for group in _NOUNS
    }


def _extension(point: metadata.EntryPoint) -> Extension:
    dist = point.dist
    return Extension(
        group=point.group,
        name=point.name,
        value=point.value,
        package=dist.name if dist else "an unknown package",
        version=dist.version if dist else "",
    )
