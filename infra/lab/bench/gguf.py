"""A model's weights in llama.cpp's format, and llama.cpp as a writer of the bench."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from infra.host import extras

INSTALL: Final = extras.install_command("gguf,servers")
#: Kinds of weights that are measured.
KINDS: Final = ("F16", "Q8_0", "Q4_1")

Schema = Mapping[str, Any]


class LlamaText(msgspec.Struct, frozen=True, kw_only=True):
    """One continuation."""

    text: str
    tokens: int


def missing() -> list[str]:
    """Modules that are not installed and without which it cannot be measured."""
    return [name for name in ("xllamacpp", "gguf") if find_spec(name) is None]


def convert(
    folder: Path, target: Path, *, kind: str = "F32", vocabulary: Callable[[Any], None] | None = None
) -> None:
    """Write a folder's weights (Llama or Qwen2) in llama.cpp's format.

    Args:
        folder: as ``save_pretrained`` writes it.
        target: the file.
        kind: ``F32`` or one of :data:`KINDS`, for the matrices; the embedding has at least 8 bits.
        vocabulary: adds one to the writer (of the library ``gguf``); the folder's, if not given.

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
    exact = kind == "F32"
    writer.add_file_type(gguf.LlamaFileType["ALL_F32" if exact else f"MOSTLY_{kind}"])
    if vocabulary is None:
        _add_vocabulary(writer, folder, config)
    else:
        vocabulary(writer)
    architecture = gguf.MODEL_ARCH[config.model_type.upper()]
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for file in sorted(folder.glob("*.safetensors")):
        for name, weight in load_file(file).items():
            heads = _rotated_in_pairs(config, name)
            whole = weight.astype(np.float32)
            if heads:
                whole = whole.reshape(heads, 2, -1, whole.shape[-1]).swapaxes(1, 2).reshape(whole.shape)
            known = names.get_name(name, try_suffixes=(".weight", ".bias"))
            _add_tensor(writer, known, np.ascontiguousarray(whole), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tensor(writer: Any, name: str, whole: Any, kind: str) -> None:
    gguf: Any = import_module("gguf")
    if whole.ndim == 1 or kind == "F32":
        writer.add_tensor(name, whole)
        return
    fine = kind.startswith("Q4") and name.startswith("token_embd")
    number = gguf.GGMLQuantizationType["Q8_0" if fine else kind]
    writer.add_tensor(name, gguf.quants.quantize(whole, number), raw_dtype=number)


def _add_vocabulary(writer: Any, folder: Path, config: Any) -> None:
    """A byte-level vocabulary; its way to split texts is not used, since prompts are tokens."""
    gguf: Any = import_module("gguf")
    stored = json.loads((folder / "tokenizer.json").read_bytes())
    added = {token["id"]: token for token in stored["added_tokens"]}
    pieces = {number: piece for piece, number in stored["model"]["vocab"].items()}
    pieces |= {number: token["content"] for number, token in added.items()}
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_vocab_size(config.vocab_size)
    writer.add_token_list([pieces.get(number, f"<unused {number}>") for number in range(config.vocab_size)])
    writer.add_token_types(
        [
            (kinds.CONTROL if added[number]["special"] else kinds.USER_DEFINED)
            if number in added
            else (kinds.NORMAL if number in pieces else kinds.UNUSED)
            for number in range(config.vocab_size)
        ]
    )
    merges = stored["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    writer.add_eos_token_id(ends[0] or 0)
    writer.add_add_bos_token(False)  # noqa: FBT003 - the library's interface


def _rotated_in_pairs(config: Any, name: str) -> int:
    """Heads of a matrix whose neighbouring rows llama.cpp rotates together; elsewhere it is the two halves."""
    if config.model_type != "llama":
        return 0
    if name.endswith("q_proj.weight"):
        return config.num_attention_heads
    return config.num_key_value_heads if name.endswith("k_proj.weight") else 0


class LlamaCpp:
    """llama.cpp in this process; each prompt has a sequence of its own.

    Args:
        file: with a vocabulary.
        rows: prompts at once.
        positions: most tokens of prompt and answer.
        threads: of the processor.
    """

    def __init__(self, file: Path, *, rows: int, positions: int, threads: int) -> None:
        library: Any = import_module("xllamacpp")
        how = library.CommonParams()
        how.model.path = str(file)
        how.n_parallel = rows
        how.n_ctx = rows * positions
        how.n_gpu_layers = 0
        how.cpuparams.n_threads = how.cpuparams_batch.n_threads = threads
        how.ui = False
        how.verbosity = 0
        self._server = library.Server(how)
        self._pool = ThreadPoolExecutor(max_workers=rows)

    def write(self, prompts: list[list[int]], tokens: int, schema: Schema | None = None) -> list[LlamaText]:
        """The continuations: so many tokens, the likeliest; with a schema, at most so many, drawn."""
        futures = [
            self._pool.submit(self._one, prompt, tokens, schema, seed=seed)
            for seed, prompt in enumerate(prompts)
        ]
        return [future.result() for future in futures]

    def _one(self, prompt: list[int], tokens: int, schema: Schema | None, *, seed: int) -> LlamaText:
        body: dict[str, Any] = {"prompt": prompt, "n_predict": tokens, "cache_prompt": False}
        if schema is None:
            body |= {"temperature": 0, "ignore_eos": True}
        else:
            compact = {**schema, "x-guidance": {"whitespace_flexible": False}}
            body |= {"temperature": 0.8, "top_k": 0, "top_p": 1, "min_p": 0, "seed": seed}
            body |= {"grammar": f"%llguidance {{}}\nstart: %json {json.dumps(compact)}"}
        answer = self._server.handle_completions(body)
        found = json.loads(answer) if isinstance(answer, str | bytes) else answer
        if "choices" not in found:
            raise RuntimeError(f"llama.cpp answers {found}")
        return LlamaText(text=found["choices"][0]["text"], tokens=found["usage"]["completion_tokens"])
