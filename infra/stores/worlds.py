"""World schemas: loading and checking."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from contracts.errors import Misconfigured
from contracts.policy.social import World
from infra.stores import toml_tables

#: Name of the world of requests that name none.
DEFAULT: Final = "default"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class WorldError(Misconfigured):
    """A world that cannot be used; the text names the file, the field and the fix."""


class CheckedWorld(msgspec.Struct, frozen=True, kw_only=True):
    """One file, with its first error."""

    name: str
    #: Path of the file.
    file: str
    #: ``None``: it cannot be used.
    world: World | None = None
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether requests can use it."""
        return self.world is not None


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
    files = _files(folder)
    fault = _without_default(folder, files)
    if fault is not None:
        raise WorldError(fault)
    return WorldStore({path.stem: _read(path) for path in files})


def check(path: Path) -> list[CheckedWorld]:
    """Check every file of a folder, or one file; never raises for a world that cannot be used.

    Args:
        path: the folder, whose missing default world is an error too, or a file.
    """
    if not path.is_dir():
        return [_check(path)]
    files = _files(path)
    rows = [_check(each) for each in files]
    fault = _without_default(path, files)
    missing = CheckedWorld(name=DEFAULT, file=str(path / f"{DEFAULT}.toml"), error=fault or "")
    return rows if fault is None else [missing, *rows]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml"))


def _without_default(folder: Path, files: list[Path]) -> str | None:
    if any(path.stem == DEFAULT for path in files):
        return None
    return f"no {DEFAULT}.toml in {folder}; add it for requests without a world (docs/social.md)"


def _check(path: Path) -> CheckedWorld:
    try:
        return CheckedWorld(name=path.stem, file=str(path), world=_read(path))
    except WorldError as error:
        return CheckedWorld(name=path.stem, file=str(path), error=str(error))


def _read(path: Path) -> World:
    if not _NAME.fullmatch(path.stem):
        raise WorldError(
            f"{path.name}: {path.stem!r} is not a world name; use letters, digits, - and _, at most 64"
        )
    return toml_tables.read(path, World, WorldError, name=path.stem)
