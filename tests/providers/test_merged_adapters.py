"""Merged adapters: what is in the file, when it is made again, and what is refused."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.engine.files import Unloadable
from infra.providers.merged_adapters import merge

gguf: Any = import_module("gguf")
#: Of ``Q8_0``: half a step of a block, whose largest number has 127 steps; the size of a step is a float16.
_ERROR = 0.5 / 127 + 2**-11
_WEIGHT = "blk.0.attn_q.weight"
_RANDOM = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return _RANDOM.standard_normal(shape, dtype=np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "understudy"


def written(file: Path, tensors: dict[str, Any], **fields: Any) -> Path:
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_array("tokens", ["a", "b", "ü"])
    writer.add_array("scores", [1.5, 2.5])
    writer.add_uint32("llama.block_count", 1)
    for key, value in fields.items():
        (writer.add_float32 if isinstance(value, float) else writer.add_string)(key.replace("_", "."), value)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture
def weight() -> Any:
    return normal(96, 64)


@pytest.fixture
def model(tmp_path: Path, weight: Any) -> Path:
    return written(tmp_path / "model.gguf", {_WEIGHT: weight, "output_norm.weight": normal(64)})


def adapter(file: Path, tensors: dict[str, Any], *, alpha: float = 16.0) -> Path:
    return written(file, tensors, adapter_type="lora", adapter_lora_alpha=alpha)


def tensors(file: Path) -> dict[str, Any]:
    return {
        each.name: gguf.quants.dequantize(each.data, each.tensor_type)
        for each in gguf.GGUFReader(file).tensors
    }


def test_the_file_has_the_sum_and_everything_else_of_the_model(
    tmp_path: Path, model: Path, weight: Any
) -> None:
    one, two = (normal(8, 64), normal(96, 8)), (normal(4, 64), normal(96, 4))
    adapters = [
        adapter(tmp_path / "1.gguf", {f"{_WEIGHT}.lora_a": one[0], f"{_WEIGHT}.lora_b": one[1]}),
        adapter(tmp_path / "2.gguf", {f"{_WEIGHT}.lora_a": two[0], f"{_WEIGHT}.lora_b": two[1]}, alpha=4.0),
    ]
    file = merge(model, adapters, "m@1+2")
    expected = weight + 2.0 * one[1] @ one[0] + two[1] @ two[0]
    before, after = tensors(model), tensors(file)
    most = np.abs(expected.reshape(96, 2, 32)).max(axis=2, keepdims=True)
    error = np.abs(after[_WEIGHT] - expected).reshape(96, 2, 32) / most
    assert error.max() < _ERROR
    assert np.array_equal(before["output_norm.weight"], after["output_norm.weight"])
    said = [
        {name: field.contents() for name, field in gguf.GGUFReader(one).fields.items()}
        for one in (model, file)
    ]
    assert said[0] == said[1]


def test_it_is_made_once_and_replaces_the_one_of_other_adapters(
    tmp_path: Path, model: Path, cache: Path
) -> None:
    parts = {f"{_WEIGHT}.lora_a": normal(8, 64), f"{_WEIGHT}.lora_b": normal(96, 8)}
    one = adapter(tmp_path / "1.gguf", parts)
    other = merge(model, [one], "another@1")
    file = merge(model, [one], "m@1")
    state = file.stat()
    assert merge(model, [one], "m@1").stat() == state
    newer = merge(model, [one], "m@2")
    assert sorted(cache.iterdir()) == sorted([other, newer])


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"blk.1.attn_q.weight": ((8, 64), (96, 8))}, "the model has no blk.1.attn_q.weight"),
        ({_WEIGHT: ((8, 32), (96, 8))}, "another shape"),
        ({_WEIGHT: ((8, 64), (64, 8))}, "another shape"),
        ({_WEIGHT: ((8, 64), (96, 4))}, "another shape"),
    ],
)
def test_an_adapter_for_another_model_is_refused_and_leaves_nothing(
    tmp_path: Path, model: Path, cache: Path, parts: dict[str, Any], text: str
) -> None:
    given = {
        f"{name}.lora_{side}": normal(*shape)
        for name, both in parts.items()
        for side, shape in zip("ab", both, strict=True)
    }
    with pytest.raises(Unloadable, match=text):
        merge(model, [adapter(tmp_path / "1.gguf", given)], "m@1")
    assert list(cache.iterdir()) == []


def test_a_half_pair_and_more_than_pairs_are_refused(tmp_path: Path, model: Path) -> None:
    half = adapter(tmp_path / "1.gguf", {f"{_WEIGHT}.lora_a": normal(8, 64)})
    with pytest.raises(Unloadable, match=r"1.gguf has no blk.0.attn_q.weight.lora_b"):
        merge(model, [half], "m@1")
    parts = {f"{_WEIGHT}.lora_a": normal(8, 64), f"{_WEIGHT}.lora_b": normal(96, 8), "norm": normal(64)}
    with pytest.raises(Unloadable, match="more than pairs"):
        merge(model, [adapter(tmp_path / "2.gguf", parts)], "m@1")


def test_a_model_is_no_adapter(model: Path) -> None:
    with pytest.raises(Unloadable, match="is no LoRA adapter"):
        merge(model, [model], "m@1")
