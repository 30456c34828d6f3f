"""Speed of llama.cpp with the same weights.

The file it reads holds them unchanged, in F32, and here no vocabulary: tokens go in and come out as numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from infra.host import extras

INSTALL: Final = extras.install_command("servers")


def missing() -> list[str]:
    """Modules that are not installed and without which it cannot be measured."""
    return [name for name in ("llama_cpp", "gguf") if find_spec(name) is None]


def convert(folder: Path, target: Path, *, vocabulary: Callable[[Any], None] | None = None) -> None:
    """Write a folder's weights (Llama or Qwen2) in llama.cpp's format.

    Args:
        folder: as ``save_pretrained`` writes it.
        target: the file.
        vocabulary: adds one to the writer (of the library ``gguf``).

    Source: names, metadata and the order of rows as in llama.cpp's ``convert_hf_to_gguf.py``.
    """
    from safetensors.numpy import load_file  # noqa: PLC0415 - optional
    from transformers import AutoConfig  # noqa: PLC0415 - optional

    gguf: Any = import_module("gguf")
    config: Any = AutoConfig.from_pretrained(folder)
    writer = gguf.GGUFWriter(target, config.model_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    if vocabulary is None:
        writer.add_tokenizer_model("no_vocab")
        writer.add_vocab_size(config.vocab_size)
    else:
        vocabulary(writer)
    kind = gguf.MODEL_ARCH[config.model_type.upper()]
    names = gguf.get_tensor_name_map(kind, config.num_hidden_layers)
    for file in sorted(folder.glob("*.safetensors")):
        for name, weight in load_file(file).items():
            heads = _rotated_in_pairs(config, name)
            whole = weight.astype(np.float32)
            if heads:
                whole = whole.reshape(heads, 2, -1, whole.shape[-1]).swapaxes(1, 2).reshape(whole.shape)
            writer.add_tensor(
                names.get_name(name, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(whole)
            )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _rotated_in_pairs(config: Any, name: str) -> int:
    """Heads of a matrix whose neighbouring rows llama.cpp rotates together; elsewhere it is the two halves."""
    if config.model_type != "llama":
        return 0
    if name.endswith("q_proj.weight"):
        return config.num_attention_heads
    return config.num_key_value_heads if name.endswith("k_proj.weight") else 0


class LlamaCpp:
    """Writes greedily, all prompts at once; each has a sequence of its own.

    Args:
        file: made by :func:`convert`.
        rows: prompts at once.
        longest: most tokens of a prompt.
        positions: most tokens of prompt and answer.
        threads: of the processor.
    """

    def __init__(self, file: Path, *, rows: int, longest: int, positions: int, threads: int) -> None:
        self._lib: Any = import_module("llama_cpp")
        # Kept: the library calls it as long as it is loaded.
        self._silent = self._lib.llama_log_callback(_say_nothing)
        self._lib.llama_log_set(self._silent, None)
        self._lib.llama_backend_init()
        how = self._lib.llama_model_default_params()
        how.n_gpu_layers = 0
        self._model = self._lib.llama_model_load_from_file(str(file).encode(), how)
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {file}")
        where = self._lib.llama_context_default_params()
        where.n_seq_max = rows
        where.n_ctx = rows * positions
        where.n_batch = rows * longest
        where.n_threads = where.n_threads_batch = threads
        self._context = self._lib.llama_init_from_model(self._model, where)
        if not self._context:
            raise RuntimeError(
                f"llama.cpp makes no context of {rows} rows of {positions} positions for {file}"
            )
        self._vocabulary = self._lib.llama_vocab_n_tokens(self._lib.llama_model_get_vocab(self._model))
        self._batch = self._lib.llama_batch_init(rows * longest, 0, 1)

    def write(self, prompts: list[list[int]], tokens: int) -> list[list[int]]:
        """So many tokens after each prompt."""
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)  # noqa: FBT003 - C
        written: list[list[int]] = [[] for _ in prompts]
        given = prompts
        for _ in range(tokens):
            lengths = [len(prompt) + len(mine) for prompt, mine in zip(prompts, written, strict=True)]
            last = self._fill(given, lengths)
            if self._lib.llama_decode(self._context, self._batch):
                raise RuntimeError(f"llama.cpp fails with {len(prompts)} sequences of {max(lengths)} tokens")
            given = [[self._likeliest(at)] for at in last]
            for mine, chosen in zip(written, given, strict=True):
                mine.extend(chosen)
        return written

    def _fill(self, given: list[list[int]], lengths: list[int]) -> list[int]:
        """Put what each sequence reads now into the batch; where each one's last token is in it."""
        batch, at = self._batch, 0
        last: list[int] = []
        for sequence, (chunk, length) in enumerate(zip(given, lengths, strict=True)):
            for place, token in enumerate(chunk, start=length - len(chunk)):
                batch.token[at] = token
                batch.pos[at] = place
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = sequence
                batch.logits[at] = place == length - 1
                at += 1
            last.append(at - 1)
        batch.n_tokens = at
        return last

    def _likeliest(self, at: int) -> int:
        logits = self._lib.llama_get_logits_ith(self._context, at)
        return int(np.ctypeslib.as_array(logits, shape=(self._vocabulary,)).argmax())

    def close(self) -> None:
        """Free what the library holds."""
        self._lib.llama_batch_free(self._batch)
        self._lib.llama_free(self._context)
        self._lib.llama_model_free(self._model)


def _say_nothing(*_: object) -> None: ...
