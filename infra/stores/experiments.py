"""Experiments: files of plans, read at the start and again when they change; stop and promotion are written into them."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from contracts.errors import Misconfigured, UnderstudyError
from contracts.experiments import Experiment, RunnableExperiment
from infra.host import atomic_file
from infra.stores import toml_tables

#: Seconds between two looks at the folder.
LOOK_S: Final = 1.0
#: Experiments that there may be.
MOST: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Where the first table begins: keys of the file itself stand before it.
_TABLE: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)


class ExperimentError(Misconfigured):
    """An experiment that cannot be used; the text names the file, the field and the fix."""


class ExperimentUnknown(UnderstudyError):  # noqa: N818 - names what is missing
    """No file has the experiment; the text names those that there are."""


class CheckedExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """One file, with its first error."""

    name: str
    #: Path of the file.
    file: str
    #: ``None``: it cannot be used.
    plan: Experiment | None = None
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether requests can get it."""
        return self.plan is not None


class ExperimentStore:
    """The experiments of a folder; implements :class:`contracts.experiments.Experiments`.

    Files that change are read again; if one cannot be used then, all stay as they were.

    Args:
        folder: where the files are.
        prepare: finds what a plan needs beyond itself, such as the provider that a model means.
        on_problem: gets what is wrong with files that have changed.
        clock: seconds, never going back.

    Raises:
        ExperimentError: an experiment cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        prepare: Callable[[Experiment], RunnableExperiment],
        on_problem: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._prepare = prepare
        self._on_problem = on_problem
        self._clock = clock
        self._seen = _state(folder)
        self._looked_s = clock()
        self._experiments = self._read()

    def current(self) -> Sequence[RunnableExperiment]:
        """All experiments, in the order of their names."""
        now_s = self._clock()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look()
        return self._experiments

    def _look(self) -> None:
        state = _state(self._folder)
        if state == self._seen:
            return
        self._seen = state
        try:
            self._experiments = self._read()
        except UnderstudyError as error:
            self._on_problem(str(error))

    def _read(self) -> tuple[RunnableExperiment, ...]:
        return tuple(self._prepare(each) for each in load(self._folder))


def load(folder: Path) -> tuple[Experiment, ...]:
    """Read and check every experiment, in the order of their names.

    Raises:
        ExperimentError: an experiment cannot be used, or the folder is missing.
    """
    if not folder.is_dir():
        raise ExperimentError(
            f"{folder} is not a folder; make it, or set experiments_dir to the folder of the experiments"
        )
    files = _files(folder)
    if len(files) > MOST:
        raise ExperimentError(f"{folder} has {len(files)} experiments; at most {MOST}: remove old ones")
    return tuple(_read(each) for each in files)


def check(path: Path) -> list[CheckedExperiment]:
    """Check every file of a folder, or one file; never raises for an experiment that cannot be used."""
    return [_check(each) for each in (_files(path) if path.is_dir() else [path])]


def find(folder: Path, name: str) -> Experiment:
    """Read one experiment.

    Raises:
        ExperimentUnknown: there is no such file.
        ExperimentError: it cannot be used.
    """
    return _read(_file_of(folder, name))


def stop(folder: Path, name: str, *, promoted: str | None = None) -> Experiment:
    """Stop an experiment by its file: every request gets the promoted arm, else the control.

    Comments and the order of the file stay.

    Args:
        folder: where the files are.
        name: the experiment.
        promoted: an arm of it; ``None``: none is, also not one that was promoted before.

    Returns:
        the experiment as it is now.

    Raises:
        ExperimentUnknown: there is no such file, or no such arm.
        ExperimentError: it cannot be used, or its file cannot be written.
    """
    path = _file_of(folder, name)
    plan = _read(path)
    if promoted is not None and promoted not in [each.name for each in plan.arms]:
        arms = ", ".join(each.name for each in plan.arms)
        raise ExperimentUnknown(f"experiment {name!r} has no arm {promoted!r}; use one of {arms}")
    before = path.read_text(encoding="utf-8")
    text = _set(_set(before, "stopped", "true"), "promoted", None if promoted is None else f'"{promoted}"')
    wanted = {**tomllib.loads(before), "stopped": True, "promoted": promoted}
    if _parse(text) != {key: value for key, value in wanted.items() if value is not None}:
        line = "stopped = true" if promoted is None else f'stopped = true and promoted = "{promoted}"'
        raise ExperimentError(
            f"{path.name}: is not written plainly enough to be changed; add {line} yourself"
        )
    try:
        atomic_file.write(path, text.encode())
    except OSError as problem:
        raise ExperimentError(
            f"{path} cannot be written ({problem.strerror}); set experiments_dir to a folder of your own"
        ) from None
    return _read(path)


def _parse(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _set(text: str, key: str, value: str | None) -> str:
    """Give a key of the file itself a value, or take it away."""
    table = _TABLE.search(text)
    head, rest = (text, "") if table is None else (text[: table.start()], text[table.start() :])
    line = re.compile(rf"^[ \t]*{key}[ \t]*=[^\n#]*(#[^\n]*)?\n?", re.MULTILINE)
    found = line.search(head)
    wanted = "" if value is None else f"{key} = {value}"
    if found is None:
        if not wanted:
            return text
        own = head.rstrip()
        return f"{own}\n{wanted}\n\n{rest}" if own else f"{wanted}\n\n{rest}"
    comment = f"  {found[1]}" if found[1] else ""
    new = f"{wanted}{comment}\n" if wanted else f"{found[1]}\n" if found[1] else ""
    return head[: found.start()] + new + head[found.end() :] + rest


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells whether a file has changed."""
    found: list[tuple[str, int, int]] = []
    for path in _files(folder):
        try:
            known = path.stat()
        except FileNotFoundError:
            continue
        found.append((path.name, known.st_mtime_ns, known.st_size))
    return tuple(found)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml"))


def _file_of(folder: Path, name: str) -> Path:
    path = folder / f"{name}.toml"
    if not _NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(each.stem for each in _files(folder)) or "none"
        raise ExperimentUnknown(f"no experiment is called {name!r} in {folder}; there are: {known}")
    return path


def _check(path: Path) -> CheckedExperiment:
    try:
        return CheckedExperiment(name=path.stem, file=str(path), plan=_read(path))
    except ExperimentError as error:
        return CheckedExperiment(name=path.stem, file=str(path), error=str(error))


def _read(path: Path) -> Experiment:
    if not _NAME.fullmatch(path.stem):
        raise ExperimentError(
            f"{path.name}: {path.stem!r} is not the name of an experiment; use letters, digits, - and _, at most 64"
        )
    return toml_tables.read(path, Experiment, ExperimentError, name=path.stem)
