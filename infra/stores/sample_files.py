"""Files of a golden sample, put in place together and only if they pass ``samples check``."""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from contracts.errors import UnderstudyError
from infra.stores import samples
from infra.stores.samples import SIDECAR, CheckedSample, Sidecar

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SampleRefused(UnderstudyError):  # noqa: N818 - names what is done with it
    """A sample that is not written; the text says why."""


def add_sample(
    folder: Path, name: str, kind: str, content: Any, sidecar: Sidecar, *, dry_run: bool = False
) -> CheckedSample:
    """Write ``sample_<name>.json`` and its sidecar; both or none, and nothing that exists is overwritten.

    A reader that comes in between sees the sidecar alone, which is no sample.

    Args:
        folder: where the samples are.
        name: letters, digits, ``-`` and ``_``, at most 64.
        kind: what the content must be.
        content: the document.
        sidecar: facts about it.
        dry_run: check it; put nothing in place.

    Raises:
        SampleRefused: it does not pass the check, there is one with this name, or the folder cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise SampleRefused(
            f"{name!r} is no name of a sample; use letters, digits, - and _, at most 64 characters"
        )
    target = folder / f"sample_{name}.json"
    try:
        # Inside the folder, so that a link can put the files in place; no pattern of samples matches it.
        with tempfile.TemporaryDirectory(prefix=".promote-", dir=folder) as scratch:
            draft = Path(scratch) / target.name
            draft.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
            draft.with_suffix(SIDECAR).write_text(write_sidecar(sidecar), encoding="utf-8")
            checked = _check(Path(scratch), kind)
            _refuse_taken(target)
            if not dry_run:
                _put(draft, target)
    except FileExistsError:
        raise SampleRefused(
            f"{target.name} or its sidecar is in {folder} already; give another name"
        ) from None
    except OSError as error:
        raise SampleRefused(
            f"{folder} cannot be written ({error.strerror}); set samples_dir to a folder of your own"
        ) from None
    return checked


def _check(scratch: Path, kind: str) -> CheckedSample:
    (checked,) = samples.check(scratch)
    if not checked.ok:
        raise SampleRefused(f"does not pass `understudy samples check`: {checked.error}")
    if checked.kind != kind:
        raise SampleRefused(f"is a {checked.kind} as it stands, not a {kind}")
    return checked


def _refuse_taken(target: Path) -> None:
    """Refuse a name that is taken; what an interrupted promotion left takes none."""
    sidecar = target.with_suffix(SIDECAR)
    if target.exists() or (sidecar.exists() and not _is_leftover(sidecar)):
        raise FileExistsError


def _put(draft: Path, target: Path) -> None:
    """Sidecar first: a sample without it would have the lowest rating and no tags."""
    sidecar = target.with_suffix(SIDECAR)
    _sync(draft)
    _sync(draft.with_suffix(SIDECAR))
    if _is_leftover(sidecar):
        sidecar.unlink()
    os.link(draft.with_suffix(SIDECAR), sidecar)
    try:
        os.link(draft, target)
    except BaseException:
        sidecar.unlink()
        raise
    _sync(target.parent)


def _is_leftover(sidecar: Path) -> bool:
    """Whether a promotion that was interrupted left it: the sample itself is missing."""
    with suppress(samples.SampleError):
        return samples.read_sidecar(sidecar).promoted_from is not None
    return False


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_sidecar(sidecar: Sidecar) -> str:
    """A sidecar as TOML, with what differs from the defaults, and the rating."""
    values = sidecar.model_dump(mode="json", exclude_defaults=True)
    source: dict[str, Any] = values.pop("promoted_from", {})
    lines = [f"{key} = {_value(value)}" for key, value in (values | {"rating": sidecar.rating}).items()]
    if source:
        lines += ["", "[promoted_from]", *(f"{key} = {_value(value)}" for key, value in source.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """Texts, numbers, booleans and lists of them, which TOML writes as JSON does; DEL alone it does not."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
