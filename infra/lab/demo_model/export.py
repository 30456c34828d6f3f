"""The adapter as a GGUF file that llama.cpp loads beside the base model."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import load_file

from infra.lab.demo_model.shape import SCALE

_NAMES: Final = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

Matrix = np.ndarray[Any, np.dtype[np.float32]]


def export(adapter: Path, base: Path, out: Path) -> None:
    """Write the adapter as GGUF, float16.

    Args:
        adapter: what training wrote.
        base: the base model's GGUF file, for the number of its heads.
        out: the file to write.
    """
    # Without type stubs.
    gguf: Any = import_module("gguf")
    fields = gguf.GGUFReader(base).fields
    heads = {
        "attn_q": int(fields["llama.attention.head_count"].contents()),
        "attn_k": int(fields["llama.attention.head_count_kv"].contents()),
    }
    stored: dict[str, Matrix] = load_file(adapter)
    rank = next(each.shape[0] for name, each in stored.items() if name.endswith(".a"))
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    # llama.cpp multiplies with alpha / rank.
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, SCALE * rank)
    writer.add_name("Understudy's adapter for SmolLM2-135M-Instruct")
    writer.add_license("Apache-2.0")
    for name, matrix in sorted(stored.items()):
        _, layer, part = name.split(".", 2)
        module, _, side = part.rpartition(".")
        target = _NAMES[module]
        rows = _interleaved(matrix, heads[target]) if side == "b" and target in heads else matrix
        writer.add_tensor(f"blk.{layer}.{target}.weight.lora_{side}", rows.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _interleaved(matrix: Matrix, heads: int) -> Matrix:
    """Rows in llama.cpp's order: it rotates neighbours, transformers the halves of a head."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
