"""Loading of a model, and the errors of models that cannot be loaded.

Safetensors only, and never code from a model's folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging as hf_logging

from infra.engine.files import Unloadable, folder_of, name_of, weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Flags of processors that multiply bfloat16 in hardware; without them it halves the speed.
_BF16: Final = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
#: Bytes of weights from which bfloat16 is faster with such a processor (docs/adr/0018-the-models-own-pass.md).
_LARGE: Final = 1 << 25


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model in memory, with its tokenizer and properties."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    #: Name and the beginning of the SHA-256 of its weights.
    name: str
    device: torch.device
    dtype: torch.dtype
    #: Positions of its context window.
    window: int
    #: Width of its logits.
    vocabulary: int
    #: Tokens that end an answer.
    ends: frozenset[int]

    @property
    def parameters(self) -> int:
        """Number of its parameters."""
        return self.model.num_parameters()


def load(path: str, *, device: str = "auto", dtype: str = "auto", known_as: str | None = None) -> Loaded:
    """Load a model from a folder, or from the hub's cache by its id.

    Args:
        path: a folder, or a hub id such as ``Qwen/Qwen2.5-0.5B-Instruct``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        known_as: its name, if the folder's name is meaningless.

    Raises:
        Unloadable: a file is missing, corrupt or of a kind that is not loaded.
    """
    folder = folder_of(path)
    files = weights(folder)
    # Its progress bars would mix with the log.
    hf_logging.disable_progress_bar()
    place = _device(device)
    kind = _dtype(dtype, place, files)
    spread = _spread(place, files)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        # Not the automatic class: some add tokens of their own that the model never saw.
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=kind,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="sdpa",
            **spread,
        )
        model.eval().requires_grad_(requires_grad=False)
        if not spread:
            model.to(place)
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError, MemoryError) as error:
        raise Unloadable(f"the model in {folder} cannot be loaded: {error}") from error
    text: Any = config.get_text_config()
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        name=name_of(folder, known_as),
        device=model.get_input_embeddings().weight.device,
        dtype=kind,
        window=_window(text),
        vocabulary=model.get_output_embeddings().weight.shape[0],
        ends=_ends(model, tokenizer),
    )


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise Unloadable(f"device {wanted} is configured, but torch finds no GPU; use auto or cpu")
    return torch.device(wanted)


def _dtype(wanted: str, device: torch.device, files: list[Path]) -> torch.dtype:
    if wanted != "auto":
        return getattr(torch, wanted)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    large = sum(file.stat().st_size for file in files) >= _LARGE
    return torch.bfloat16 if large and _BF16 & _cpu_flags() else torch.float32


def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(found.partition(":")[2].split())


def _spread(device: torch.device, files: list[Path]) -> dict[str, Any]:
    """Distribute over several devices (accelerate) if one GPU is too small; a numbered device is used alone."""
    if str(device) != "cuda":
        return {}
    size = sum(file.stat().st_size for file in files)
    free, _ = torch.cuda.mem_get_info(device)
    return {"device_map": "auto"} if size * 1.2 > free else {}


def _window(config: Any) -> int:
    """Positions of the window; at most a sliding window, since the engine's rows do not slide."""
    window = int(getattr(config, "max_position_embeddings", 2048))
    kinds = getattr(config, "layer_types", None)
    slides = (
        getattr(config, "sliding_window", None) if kinds is None or "sliding_attention" in kinds else None
    )
    return min(window, int(slides)) if slides else window


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    told: Any = model.generation_config.eos_token_id if model.generation_config else None
    ends: list[Any] = [*(told if isinstance(told, list) else [told]), tokenizer.eos_token_id]
    return frozenset(int(each) for each in ends if each is not None)
