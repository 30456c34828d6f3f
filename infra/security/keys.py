"""Keys of the broker's users: NKey seeds in files that only their owner reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import nkeys  # pyright: ignore[reportMissingTypeStubs] - it has none

from contracts.errors import UnderstudyError
from infra.host import atomic_file

#: Name of a role's file; the client library knows the inbox of a role by it.
_FILE: Final = re.compile(r"understudy-([A-Za-z0-9_-]+)\.nk")


class KeyFileError(UnderstudyError):
    """A key cannot be made or read; the text names the file and the fix."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One user's key."""

    #: The file with its seed.
    file: Path
    #: What the broker's configuration says of it.
    public: str
    #: It was made just now.
    fresh: bool


def file_of(folder: Path, role: str) -> Path:
    """Where the seed of a role is."""
    return folder / f"understudy-{role}.nk"


def role_of(file: Path) -> str | None:
    """The role whose seed a file has by its name; ``None``: it does not say."""
    found = _FILE.fullmatch(file.name)
    return None if found is None else found[1]


def ensure(folder: Path, roles: Iterable[str], *, rotate: Iterable[str] = ()) -> dict[str, Key]:
    """The keys of some roles, made where a role has none.

    Args:
        folder: made for its owner alone; one that exists gets that mode.
        roles: names.
        rotate: roles that get another key.

    Raises:
        KeyFileError: a file cannot be written, or is no seed.
    """
    again = set(rotate)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        return {role: _key(file_of(folder, role), anew=role in again) for role in roles}
    except OSError as error:
        raise KeyFileError(f"keys cannot be written to {folder}: {error.strerror or error}") from error


def stored(folder: Path) -> tuple[str, ...]:
    """The roles that have a key in a folder."""
    names = (role_of(file) for file in sorted(folder.glob("understudy-*.nk")))
    return tuple(name for name in names if name is not None)


def _key(file: Path, *, anew: bool) -> Key:
    fresh = anew or not file.exists()
    if fresh:
        atomic_file.write(file, nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).strip())
    file.chmod(0o600)
    return Key(file=file, public=_public(file), fresh=fresh)


def _public(file: Path) -> str:
    try:
        pair = nkeys.from_seed(bytearray(file.read_bytes().strip()))
        public: Any = pair.public_key
        return str(public, "ascii")
    except (nkeys.NkeysError, ValueError, IndexError) as error:
        # Not the error's own text: it may have a part of the seed.
        raise KeyFileError(
            f"{file} is no NKey seed ({type(error).__name__}); delete it and run the command again"
        ) from None
