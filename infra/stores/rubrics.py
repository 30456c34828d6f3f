"""Rubrics: loading and checking; those that ship, by name, and files of the user's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from contracts.errors import Misconfigured
from contracts.policy.rubric import Rubric
from infra.settings import shipped
from infra.stores import toml_tables

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ENDING: Final = ".toml"


class RubricError(Misconfigured):
    """A rubric that cannot be used; the text names the file, the field and the fix."""


class CheckedRubric(msgspec.Struct, frozen=True, kw_only=True):
    """One file, with its first error."""

    name: str
    #: Path of the file.
    file: str
    #: ``None``: it cannot be used.
    rubric: Rubric | None = None
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether documents can be judged by it."""
        return self.rubric is not None


def path_of(named: str) -> Path:
    """The file that ``narrative.evaluation.rubric`` means: that of a rubric that ships, or a path."""
    if named.endswith(_ENDING) or not _NAME.fullmatch(named):
        return Path(named)
    return shipped.RUBRICS / f"{named}{_ENDING}"


def load(named: str) -> Rubric:
    """Read and check a rubric.

    Args:
        named: the name of one that ships, or a path.

    Raises:
        RubricError: it cannot be used.
    """
    path = path_of(named)
    if path.parent == shipped.RUBRICS and not path.is_file():
        known = ", ".join(each.stem for each in _files(shipped.RUBRICS))
        raise RubricError(
            f"there is no rubric {named!r}; those that ship are {known}; for a file of your own, set "
            "UNDERSTUDY_NARRATIVE__EVALUATION__RUBRIC to its path, with .toml at its end"
        )
    return _read(path)


def check(path: Path) -> list[CheckedRubric]:
    """Check every file of a folder, or one file; never raises for a rubric that cannot be used."""
    return [_check(each) for each in (_files(path) if path.is_dir() else [path])]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{_ENDING}"))


def _check(path: Path) -> CheckedRubric:
    try:
        return CheckedRubric(name=path.stem, file=str(path), rubric=_read(path))
    except RubricError as error:
        return CheckedRubric(name=path.stem, file=str(path), error=str(error))


def _read(path: Path) -> Rubric:
    if not _NAME.fullmatch(path.stem):
        raise RubricError(
            f"{path.name}: {path.stem!r} is not a rubric's name; use letters, digits, - and _, at most 64"
        )
    return toml_tables.read(path, Rubric, RubricError, name=path.stem)
