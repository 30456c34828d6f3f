"""Which understudies are there, and are they fit to go on stage?"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts import fingerprint
from contracts.content.registry import MODELS, Registry
from contracts.errors import UnderstudyError
from contracts.node import Rating
from contracts.ports import Sample

PATTERN: Final = "sample_*.json"
#: What stands beside a sample: ``sample_x.toml`` beside ``sample_x.json``.
SIDECAR: Final = ".toml"
DEFAULTS: Final = "default_content"
#: Largest sample, bytes.
MAX_SIZE: Final = 512 * 1024


class SampleError(UnderstudyError):
    """A sample that cannot go on stage; the text names the file and the field."""


class Sidecar(BaseModel):
    """What a sample needs beside its content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tags: tuple[str, ...] = Field(default=(), max_length=32)
    rating: Rating = Rating.SFW
    author: str | None = None


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One file and what is wrong with it."""

    file: str
    kind: str | None = None
    ok: bool
    error: str | None = None
    rating: str | None = None
    tags: tuple[str, ...] = ()
    hash: str | None = None


class SampleStore:
    """The samples of a folder; implements :class:`contracts.ports.Samples`."""

    def __init__(self, samples: tuple[Sample, ...], defaults: dict[str, Sample]) -> None:
        self._by_kind = {
            kind: tuple(sample for sample in samples if sample.kind == kind) for kind in MODELS
        }
        self._defaults = defaults

    def of_kind(self, kind: str) -> tuple[Sample, ...]:
        """The golden samples of a kind, in file-name order."""
        return self._by_kind.get(kind, ())

    def default_content(self, content_id: str) -> Sample | None:
        """The named default content, or ``None``."""
        return self._defaults.get(content_id)


def load(folder: Path) -> SampleStore:
    """Read and check every sample.

    Raises:
        SampleError: an invalid one, with its file and field; or none at all.
    """
    samples = tuple(_read(path) for path in sorted(folder.glob(PATTERN)))
    if not samples:
        raise SampleError(f"no {PATTERN} in {folder}; without golden samples nothing can stand in")
    defaults = {path.stem: _read(path) for path in sorted((folder / DEFAULTS).glob("*.json"))}
    return SampleStore(samples, defaults)


def check(folder: Path) -> list[Checked]:
    """Look at every file, the broken ones included."""
    found = [*sorted(folder.glob(PATTERN)), *sorted((folder / DEFAULTS).glob("*.json"))]
    return [_check(path, folder) for path in found]


def _check(path: Path, folder: Path) -> Checked:
    name = str(path.relative_to(folder))
    try:
        sample = _read(path)
    except SampleError as error:
        return Checked(file=name, ok=False, error=str(error))
    return Checked(
        file=name, kind=sample.kind, ok=True, rating=sample.rating, tags=sample.tags, hash=sample.hash
    )


def _read(path: Path) -> Sample:
    if path.stat().st_size > MAX_SIZE:
        raise SampleError(f"{path.name}: has more than {MAX_SIZE} bytes")
    content = _json(path)
    registry = Registry()
    faults = {kind: registry.faults(kind, content, None) for kind in MODELS}
    kinds = [kind for kind, lines in faults.items() if not lines]
    if len(kinds) > 1:
        raise SampleError(f"{path.name}: fits several kinds ({', '.join(kinds)}); its kind must be clear")
    if not kinds:
        closest = min(faults, key=lambda kind: len(faults[kind]))
        raise SampleError(f"{path.name}: fits no kind; closest is {closest}: {faults[closest][0]}")
    sidecar = _sidecar(path.with_suffix(SIDECAR))
    return Sample(
        name=path.name,
        kind=kinds[0],
        content=content,
        hash=fingerprint.digest(content),
        rating=sidecar.rating,
        tags=sidecar.tags,
        author=sidecar.author,
    )


def _sidecar(path: Path) -> Sidecar:
    if not path.is_file():
        return Sidecar()
    try:
        return Sidecar.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        if not isinstance(error, ValidationError):
            raise SampleError(f"{path.name}: is not TOML: {error}") from None
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SampleError(f"{path.name}: {where}: {first['msg']}") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SampleError(f"{path.name}: is not JSON: {error}") from None
    except OSError as error:
        raise SampleError(f"{path.name}: cannot be read: {error}") from None
