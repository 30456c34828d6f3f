"""World schemas: loading and checking."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from contracts.errors import Misconfigured
from contracts.policy.social import World
from infra.stores import toml_tables

#: Name of the world of requests that name none.
DEFAULT: Final = "default"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class WorldError(Misconfigured):
    """A world that cannot be used; the text names the file, the field and the fix."""


class WorldStore:
    """The worlds of a folder; implements :class:`contracts.ports.Worlds`."""

    def __init__(self, worlds: Mapping[str, World]) -> None:
        self._worlds = worlds

    def world(self, name: str | None) -> World | None:
        """The world of that name, or the default one for no name; ``None`` where it has no schema."""
        return self._worlds.get(DEFAULT if name is None else name)

    def names(self) -> tuple[str, ...]:
        """Names of all worlds, in the order of their files."""
        return tuple(self._worlds)


def load(folder: Path) -> WorldStore:
    """Read and check every world.

    Raises:
        WorldError: a world cannot be used, or the default one is missing.
    """
    files = sorted(folder.glob("*.toml"))
    if not any(path.stem == DEFAULT for path in files):
        raise WorldError(
            f"no {DEFAULT}.toml in {folder}; add it for requests without a world (docs/social.md)"
        )
    return WorldStore({path.stem: _read(path) for path in files})


def _read(path: Path) -> World:
    if not _NAME.fullmatch(path.stem):
        raise WorldError(
            f"{path.name}: {path.stem!r} is not a world name; use letters, digits, - and _, at most 64"
        )
    return toml_tables.read(path, World, WorldError, name=path.stem)
