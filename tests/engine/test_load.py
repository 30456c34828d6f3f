"""Loading: the file that a model lacks is named, and the type of its numbers."""

from __future__ import annotations

import shutil

import pytest
import torch

from infra.engine import load as load_module
from infra.engine.files import Unloadable
from infra.engine.load import load


@pytest.fixture
def folder(folders, tmp_path):
    return shutil.copytree(folders("qwen2", 1), tmp_path / "model")


def test_a_model_is_named_by_its_folder_and_its_weights(folder, folders) -> None:
    loaded = load(str(folder), device="cpu")
    assert loaded.name.startswith("model@")
    assert (
        loaded.name.removeprefix("model")
        == "@" + load(str(folders("qwen2", 1)), device="cpu").name.split("@")[1]
    )
    assert (loaded.device.type, loaded.window, loaded.ends) == ("cpu", 1024, {0})


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder, name) -> None:
    (folder / name).unlink()
    with pytest.raises(Unloadable, match=rf"{name} is missing"):
        load(str(folder))


def test_corrupt_weights_are_named(folder) -> None:
    (folder / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(Unloadable, match=r"model\.safetensors is no valid safetensors file"):
        load(str(folder))


def test_weights_that_were_cut_off_are_named(folder) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(Unloadable, match=r"model\.safetensors is no valid safetensors file"):
        load(str(folder))


def test_pickled_weights_are_never_loaded(folder) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(Unloadable, match=r"holds no \.safetensors file"):
        load(str(folder))


def test_a_broken_configuration_is_told(folder) -> None:
    (folder / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(Unloadable, match="cannot be loaded"):
        load(str(folder))


def test_a_folder_that_is_not_there_is_told(tmp_path) -> None:
    with pytest.raises(Unloadable, match="does not exist; set UNDERSTUDY_LOCAL__MODEL"):
        load(str(tmp_path / "nowhere"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(folder) -> None:
    with pytest.raises(Unloadable, match="torch finds no GPU"):
        load(str(folder), device="cuda")


@pytest.mark.parametrize(
    ("flags", "large", "dtype"),
    [
        ({"avx512_bf16"}, 1, torch.bfloat16),
        ({"avx512_bf16"}, 1 << 25, torch.float32),
        ({"avx2"}, 1, torch.float32),
    ],
)
def test_bfloat16_is_for_large_models_on_processors_that_multiply_it(
    folders, monkeypatch, flags, large, dtype
) -> None:
    monkeypatch.setattr(load_module, "_cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(load_module, "_LARGE", large)
    assert load(str(folders("qwen2", 1)), device="cpu").dtype == dtype
