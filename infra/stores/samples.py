"""Golden samples: loading and checking."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.content.registry import CONTENTS, MODELS
from contracts.errors import Misconfigured
from contracts.nodes.node import Rating
from contracts.policy import fingerprint
from contracts.ports import Sample
from contracts.request import Label

PATTERN: Final = "sample_*.json"
#: Suffix of the file beside a sample: ``sample_x.toml`` beside ``sample_x.json``.  Its format differs from the
#: sample's, so that the pattern above never matches it.
SIDECAR: Final = ".toml"
DEFAULTS: Final = "default_content"
DEFAULT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Largest sample, bytes.
MAX_SIZE: Final = 512 * 1024


class SampleError(Misconfigured):
    """A sample that cannot be used; the text names the file and the field."""


class PromotedFrom(BaseModel):
    """The reviewed result that a sample is made from (docs/review.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: Label
    #: The request that the content was generated for, where it came from the cache.
    generated_for: Label | None = None
    #: What wrote it, as ``provider/model``.
    writer: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    #: Mean of the scores, and how many reviewers gave them.
    mean_score: float = Field(ge=1, le=5)
    reviewers: int = Field(ge=1)


class Sidecar(BaseModel):
    """Facts about a sample beside its content; each field has a default, and so has the whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Compared with a request's ``tags``.
    tags: tuple[Label, ...] = Field(default=(), max_length=32)
    rating: Rating = Rating.SFW
    author: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    last_resort: bool = False
    #: ``None``: it is hand-made.
    promoted_from: PromotedFrom | None = None


_FIELDS: Final = ", ".join(Sidecar.model_fields)


class PromotedSample(msgspec.Struct, frozen=True, kw_only=True):
    """A sample that was made from a reviewed result."""

    #: File name.
    name: str
    source: PromotedFrom


class CheckedSample(msgspec.Struct, frozen=True, kw_only=True):
    """One file, and its first error."""

    file: str
    kind: str | None = None
    ok: bool
    error: str | None = None
    rating: str | None = None
    tags: tuple[str, ...] = ()
    hash: str | None = None


class SampleStore:
    """The samples of some folders; implements :class:`contracts.ports.Samples`."""

    def __init__(self, samples: tuple[Sample, ...], defaults: dict[str, Sample]) -> None:
        self._by_kind = {kind: tuple(sample for sample in samples if sample.kind == kind) for kind in MODELS}
        self._defaults = defaults

    def of_kind(self, kind: str) -> tuple[Sample, ...]:
        """The golden samples of a kind, in file-name order."""
        return self._by_kind.get(kind, ())

    def default_content(self, content_id: str) -> Sample | None:
        """The named default content, or ``None``."""
        return self._defaults.get(content_id)

    def golden_samples(self) -> tuple[Sample, ...]:
        """All golden samples, kind by kind."""
        return tuple(sample for samples in self._by_kind.values() for sample in samples)

    def default_contents(self) -> Mapping[str, Sample]:
        """All default contents, by id."""
        return self._defaults


def load(folder: Path, *more: Path) -> SampleStore:
    """Read and check every sample.

    Args:
        folder: the configured one; its default contents take precedence.
        more: folders of extensions.

    Raises:
        SampleError: a sample is invalid (file and field are named), or a folder has none.
    """
    samples: list[Sample] = []
    named: dict[str, Sample] = {}
    for each in (folder, *more):
        files, defaults = _files(each)
        if not files:
            raise SampleError(f"no {PATTERN} in {each}; the fallback needs golden samples: add one")
        for path in _orphans(each):
            # A promotion that was interrupted must not keep the stages from starting.
            if read_sidecar(path).promoted_from is None:
                raise SampleError(_lonely(path))
        samples += map(_read, files)
        named = {path.stem: _read_default(path) for path in defaults} | named
    return SampleStore(tuple(samples), named)


def default_ids(folders: tuple[Path, ...]) -> frozenset[str]:
    """Ids of the default contents that exist; no file is read."""
    return frozenset(path.stem for folder in folders for path in _files(folder)[1])


def find_promoted(*folders: Path) -> tuple[tuple[PromotedSample, ...], tuple[str, ...]]:
    """The samples that were made from reviewed results, and the names of sidecars that cannot be read."""
    found: list[PromotedSample] = []
    unread: list[str] = []
    for path in (each for folder in folders for each in _files(folder)[0]):
        try:
            source = read_sidecar(path.with_suffix(SIDECAR)).promoted_from
        except SampleError:
            unread.append(path.with_suffix(SIDECAR).name)
        else:
            found += [] if source is None else [PromotedSample(name=path.name, source=source)]
    return tuple(found), tuple(unread)


def check(folder: Path) -> list[CheckedSample]:
    """Check every file, invalid ones included."""
    files, defaults = _files(folder)
    rows = [_check(path, folder, _read) for path in files]
    rows += [_check(path, folder, _read_default) for path in defaults]
    lonely = [
        CheckedSample(file=str(path.relative_to(folder)), ok=False, error=_lonely(path))
        for path in _orphans(folder)
    ]
    return rows + lonely


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    return sorted(folder.glob(PATTERN)), sorted((folder / DEFAULTS).glob("*.json"))


def _orphans(folder: Path) -> list[Path]:
    found = [*folder.glob(f"*{SIDECAR}"), *(folder / DEFAULTS).glob(f"*{SIDECAR}")]
    return sorted(path for path in found if not path.with_suffix(".json").exists())


def _lonely(path: Path) -> str:
    return f"{path.name}: there is no {path.stem}.json beside it; rename or remove it"


def _check(path: Path, folder: Path, read: Callable[[Path], Sample]) -> CheckedSample:
    name = str(path.relative_to(folder))
    try:
        sample = read(path)
    except SampleError as error:
        return CheckedSample(file=name, ok=False, error=str(error))
    return CheckedSample(
        file=name, kind=sample.kind, ok=True, rating=sample.rating, tags=sample.tags, hash=sample.hash
    )


def _read_default(path: Path) -> Sample:
    if not DEFAULT_ID.fullmatch(path.stem):
        raise SampleError(
            f"{path.name}: {path.stem!r} is no content id; use letters, digits, - and _, at most 64"
        )
    return _read(path)


def _read(path: Path) -> Sample:
    content = _json(path)
    faults = {kind: CONTENTS.faults(kind, content, None) for kind in MODELS}
    kinds = [kind for kind, lines in faults.items() if not lines]
    if len(kinds) > 1:
        raise SampleError(f"{path.name}: fits several kinds ({', '.join(kinds)}); its kind must be clear")
    if not kinds:
        closest = min(faults, key=lambda kind: _distance(faults[kind]))
        raise SampleError(f"{path.name}: matches no kind; the closest is {closest}: {faults[closest][0]}")
    sidecar = read_sidecar(path.with_suffix(SIDECAR))
    return Sample(
        name=path.name,
        kind=kinds[0],
        content=content,
        hash=fingerprint.digest(content),
        rating=sidecar.rating,
        tags=sidecar.tags,
        author=sidecar.author,
        last_resort=sidecar.last_resort,
    )


def _distance(lines: tuple[str, ...]) -> tuple[int, int]:
    """Distance of a document from a kind: one fault at the top level outweighs any number of inner ones."""
    return sum("." not in line.partition(":")[0] for line in lines), len(lines)


def read_sidecar(path: Path) -> Sidecar:
    """The facts beside a sample; the defaults where there is no such file.

    Raises:
        SampleError: it cannot be used.
    """
    if not path.is_file():
        return Sidecar()
    try:
        return Sidecar.model_validate(tomllib.loads(_text(path)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        problem = f"unknown field; known are {_FIELDS}" if unknown else first["msg"]
        raise SampleError(f"{path.name}: {where}: {problem}") from None
    except ValueError as error:
        raise SampleError(f"{path.name}: is not TOML: {error}") from None


def _json(path: Path) -> Any:
    text = _text(path)
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"{path.name}: is not JSON: {error}") from None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_SIZE:
            raise SampleError(f"{path.name}: has more than {MAX_SIZE} bytes; make it smaller")
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SampleError(f"{path.name}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise SampleError(f"{path.name}: cannot be read: {error.strerror}") from None
    if text.startswith("\ufeff"):
        raise SampleError(f"{path.name}: begins with a byte order mark; save it as UTF-8 without one")
    return text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"field {next(name for name in names if names.count(name) > 1)!r} is given twice")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
