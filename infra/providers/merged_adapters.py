"""Merged adapters: a tiny model's GGUF file with its LoRA adapters in the weights, made once and kept.

llama.cpp multiplies by an adapter beside each weight, token by token.  Of a model with 135 million parameters that
halves the speed (19 tokens/s instead of 42 on two cores).
"""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from infra.engine.files import Unloadable

Matrix = np.ndarray[Any, np.dtype[np.float32]]

#: Part of a merged file's name: raised when the same files give another one.
_VERSION: Final = 1
_A: Final = ".lora_a"
_B: Final = ".lora_b"


def merge(model: Path, adapters: Sequence[Path], name: str) -> Path:
    """Find or make the merged file.

    Merged weights have about 8 bits (``Q8_0``); others stay as they are.

    Args:
        model: the GGUF file.
        adapters: GGUF files of LoRA adapters for it.
        name: of the model; it says which files it is made of.

    Returns:
        a file in the user's cache folder, ``$XDG_CACHE_HOME/understudy`` or ``~/.cache/understudy``.

    Raises:
        Unloadable: an adapter changes what this function does not merge; the text says what.
        OSError: the file cannot be written.
    """
    out = _folder() / f"{name}-{_VERSION}.gguf"
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        # Another process may make the same file.
        with tempfile.NamedTemporaryFile(dir=out.parent, suffix=".part", delete=False) as made:
            part = Path(made.name)
        try:
            _write(model, [_deltas(each) for each in adapters], part)
            with part.open("rb+") as whole:
                # A file of this name is believed: it must be on the disk first.
                os.fsync(whole.fileno())
            part.replace(out)
            _drop_older(out)
        finally:
            part.unlink(missing_ok=True)
    return out


def _drop_older(newest: Path) -> None:
    """Remove what the same model was merged to before; a process that has it open keeps it."""
    title, at, _ = newest.name.partition("@")
    for older in newest.parent.glob(f"{glob.escape(title + at)}*.gguf"):
        if older != newest:
            older.unlink(missing_ok=True)


def _folder() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "understudy"
    except RuntimeError as error:
        raise OSError(f"no folder for caches: {error}") from error


def _deltas(adapter: Path) -> dict[str, tuple[Matrix, Matrix]]:
    """By the weight that it changes: ``a`` is ``[rank, in]``, ``b`` is ``[out, rank]`` and scaled."""
    # Without type stubs.
    gguf: Any = import_module("gguf")
    reader = gguf.GGUFReader(adapter)
    kind = reader.fields.get("adapter.type")
    alpha = reader.fields.get("adapter.lora.alpha")
    if kind is None or kind.contents() != "lora" or alpha is None:
        raise Unloadable(f"{adapter} is no LoRA adapter")
    parts: dict[str, Matrix] = {
        each.name: gguf.quants.dequantize(each.data, each.tensor_type) for each in reader.tensors
    }
    found: dict[str, tuple[Matrix, Matrix]] = {}
    for name, a in parts.items():
        weight = name.removesuffix(_A)
        if weight == name:
            continue
        b = parts.get(weight + _B)
        if b is None:
            raise Unloadable(f"{adapter} has no {weight}{_B}")
        found[weight] = a, b * np.float32(alpha.contents() / a.shape[0])
    if 2 * len(found) != len(parts):
        raise Unloadable(f"{adapter} has more than pairs of {_A} and {_B}")
    return found


def _write(model: Path, adapters: Sequence[dict[str, tuple[Matrix, Matrix]]], out: Path) -> None:
    gguf: Any = import_module("gguf")
    reader = gguf.GGUFReader(model)
    unknown = {name for each in adapters for name in each} - {each.name for each in reader.tensors}
    if unknown:
        raise Unloadable(f"the model has no {min(unknown)}")
    writer = gguf.GGUFWriter(out, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        # The writer has its own of these.
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            kind, *inner = field.types
            writer.add_key_value(field.name, field.contents(), kind, sub_type=inner[-1] if inner else None)
    q8 = gguf.GGMLQuantizationType.Q8_0
    for tensor in reader.tensors:
        changes = [each[tensor.name] for each in adapters if tensor.name in each]
        if not changes:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        weight: Matrix = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        for a, b in changes:
            if weight.shape != (b.shape[0], a.shape[1]) or a.shape[0] != b.shape[1]:
                raise Unloadable(f"{tensor.name} has another shape than its adapter")
            weight = weight + b @ a
        writer.add_tensor(tensor.name, gguf.quants.quantize(weight, q8), raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
