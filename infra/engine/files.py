"""Model files and their integrity, checked without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from infra.engine.task import EngineError

#: Weights up to this size in bytes are hashed whole; of larger ones, beginnings and sizes.
_HASHED: Final = 1 << 30


class Unloadable(EngineError):  # noqa: N818 - names the files' state
    """A model that cannot be loaded; the text names the file and what to do."""


def folder_of(path: str) -> Path:
    """The folder of a model's files; downloads them if the model is a hub id and not cached.

    Raises:
        Unloadable: there is no such folder, or the hub cannot be reached.
    """
    folder = Path(path)
    if folder.is_dir():
        return folder
    if folder.suffix == ".gguf":
        raise Unloadable(
            f"{path} is a GGUF file: set UNDERSTUDY_GGUF__MODEL to it, and the provider of the kinds to gguf"
        )
    if folder.is_absolute() or path.startswith(".") or path.count("/") != 1:
        raise Unloadable(f"the model folder {path} does not exist; set UNDERSTUDY_LOCAL__MODEL")
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for a hub id
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415 - as above

    try:
        return Path(snapshot_download(path, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise Unloadable(
            f"the model {path} is neither a folder nor to be had from the hub: {error}"
        ) from error


def weights(folder: Path) -> list[Path]:
    """The weight files of a model, each checked.

    Raises:
        Unloadable: one is missing or corrupt, or something that belongs to them is.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - part of the extra

    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise Unloadable(f"{folder / name} is missing; a model needs it beside its weights")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise Unloadable(
            f"{folder} holds no .safetensors file; other formats are not supported: convert them"
        )
    for file in files:
        try:
            with safe_open(file, framework="np") as opened:
                opened.keys()
        except (SafetensorError, OSError) as error:
            raise Unloadable(f"{file} is no valid safetensors file ({error}); get it again") from error
    return files


def name_of(folder: Path, known_as: str | None = None) -> str:
    """A model's name (its folder's, if it has no other) and the beginning of the SHA-256 of its weights."""
    files = sorted(folder.glob("*.safetensors"))
    whole = sum(file.stat().st_size for file in files) <= _HASHED
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.stat().st_size).encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
                if not whole:
                    break
    return f"{known_as or folder.name}@{digest.hexdigest()[:12]}"
