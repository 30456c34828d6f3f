"""The engine's bench: each engine writes the same requests."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from msgspec.structs import replace
from typer.testing import CliRunner

from infra.engine.load import load
from infra.lab.bench import bandwidth, gguf, random_models, steady
from infra.lab.bench import engine as bench
from infra.lab.bench.cli import app
from infra.lab.bench.engine_speeds import table
from infra.lab.bench.writers import Generate, Llama, Others

#: Three further processes import torch.
pytestmark = pytest.mark.timeout(400)

TINY = random_models.Size(
    kind="llama", vocabulary=600, width=64, inner=128, layers=2, heads=4, kv_heads=2, tied=True
)
PLAN = bench.EnginePlan(tokens=8, rounds=1, at=(1, 3))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    random_models.make(folder, TINY)
    return folder


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """What the bench says while it measures."""
    return []


@pytest.fixture(scope="module")
def found(tiny: Path, lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Figures without llama.cpp, whether it is installed or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "missing", lambda: ["xllamacpp"])
        return bench.measure("tiny", tiny, tmp_path_factory.mktemp("scratch"), PLAN, lines.append)


WRITERS = ["ours", "ours_bfloat16", "generate", "padded", "continuous"]


@pytest.mark.parametrize("who", WRITERS)
def test_everybody_writes_as_many_tokens(found, who) -> None:
    assert found["tokens"][who] == {"1": 8, "3": 24}
    assert all(speed > 0 for speed in found["tokens_per_s"][who].values())


def test_everybody_writes_the_same(found) -> None:
    assert found["same_text"]["ours"] == {"1": 1.0, "3": 1.0}
    assert found["same_text"]["padded"] == {"1": 1.0, "3": 1.0}
    assert found["same_text"]["continuous"] == {"1": 1.0, "3": 1.0}


def test_ratios_are_ours_to_each(found) -> None:
    for who in WRITERS[1:]:
        for at, ratio in found["ratios"][who].items():
            speeds = found["tokens_per_s"]
            assert ratio == pytest.approx(speeds["ours"][at] / speeds[who][at], rel=0.05, abs=0.01)


@pytest.mark.parametrize("schema", ["simple", "layout"])
def test_constrained_answers_are_compared(found, schema) -> None:
    speeds = found["constrained"][schema]["tokens_per_s"]
    assert set(speeds) == {"ours", "ours_bfloat16"}
    for at, speed in speeds["ours"].items():
        ratio = found["constrained"][schema]["ratios"]["ours_bfloat16"][at]
        assert ratio == pytest.approx(speed / speeds["ours_bfloat16"][at], rel=0.05, abs=0.01)


def test_the_table_has_a_line_for_each_engine(found) -> None:
    lines = table({"models": {"tiny": found, "house": {"skipped": "no weights"}}}).splitlines()
    assert lines[0] == "tiny"
    assert lines[1].split()[-2:] == ["layout", "@3"]
    assert [line.split()[0] for line in lines[2:8]] == [*WRITERS, "llama_cpp"]
    assert lines[7] == f"llama_cpp is not installed (xllamacpp): {gguf.INSTALL}"
    ours, ratio = found["tokens_per_s"]["ours"]["3"], found["ratios"]["padded"]["3"]
    assert lines[2].split()[2] == f"{ours:.0f}"
    assert f"({ratio:.2f})" in lines[5]
    assert lines[-1] == "house: no weights"


def test_shares_of_time_add_up(found) -> None:
    for shares in found["time"].values():
        assert sum(shares.values()) == pytest.approx(1, abs=0.01)
        assert 0 < shares["forward"] < 1


def test_whoever_is_late_comes_into_a_full_batch(found) -> None:
    late = found["late_arrival"]
    # How many of the others still write at the end depends on the machine; the figure is there to say so.
    assert late["writing_at_last"] <= late["writing_at_first"] == PLAN.at[-1] - 1
    assert 0 < late["late_ms"] <= late["late_worst_ms"]
    assert late["ratio"] == pytest.approx(late["late_ms"] / late["alone_ms"], rel=0.05, abs=0.01)


def test_layouts_follow_their_grammar(found) -> None:
    for count, row in found["grammar"]["layouts"].items():
        assert 0 < row["tokens"] <= int(count) * 3 * PLAN.tokens
        assert 0 < row["forced_share"] < 1
        assert row["tokens_per_step"] > 1
        assert row["ratio_to_unforced"] == pytest.approx(
            row["tokens_per_s"] / row["unforced_tokens_per_s"], abs=0.006
        )
        assert row["mask_us_per_choice"] > row["mask_us_per_token"] > 0
    assert set(found["grammar"]["compile_ms"]) == {"layout", "plot", "scene", "dialogue", "transition"}


def test_loading_takes_memory(found) -> None:
    sizes = found["memory_mib"]
    assert 0 < sizes["before"] <= sizes["started"]


def test_parameters_are_counted_once(found) -> None:
    assert found["parameters"] == 600 * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64) + 64


def test_what_is_not_installed_is_said(found, lines) -> None:
    why = f"is not installed (xllamacpp): {gguf.INSTALL}"
    assert found["tokens_per_s"]["llama_cpp"] == why
    assert f"tiny: llama_cpp {why}" in lines
    assert "llama_cpp" not in found["ratios"]


def test_a_house_model_without_weights_is_left_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bench, "WEIGHTS", tmp_path / "none")
    told: list[str] = []
    figures = bench.run(models=["house"], tokens=8, rounds=1, say=told.append)
    assert "infra.lab.house_model build" in figures["models"]["house"]["skipped"]
    assert told == [f"house: {figures['models']['house']['skipped']}"]


def test_an_unknown_model_is_refused_with_those_that_there_are() -> None:
    done = CliRunner().invoke(app, ["engine", "--models", "house,70b"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "70b is unknown; there are house, 15m, 125m, 7b" in done.output


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "float32"), ("cuda", "bfloat16")])
def test_the_command_measures_on_the_device_that_it_is_given(tiny, monkeypatch, device, dtype) -> None:
    def measured(work, name, source, scratch, plan, say) -> dict:
        assert work is bench.measure
        return {"device": plan.device}

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(bench, "_elsewhere", measured)
    done = CliRunner().invoke(app, ["engine", "--models", str(tiny), "--device", device, "--json"])
    figures = json.loads(done.stdout)
    assert (figures["device"], figures["dtype"]) == (device, dtype)
    assert figures["models"] == {str(tiny): {"device": device}}


def test_a_gpu_that_is_not_there_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = CliRunner().invoke(app, ["engine", "--models", "15m", "--device", "cuda"])
    assert done.exit_code == 2
    assert "torch finds no GPU" in done.output


def test_a_gpu_has_the_engine_and_one_other(tmp_path) -> None:
    others = Others(tmp_path, {}, rows=1, positions=8, device="cuda")
    others.close()
    assert (others.names, others.constrained) == (("generate",), frozenset())


@pytest.mark.parametrize("tied", [True, False])
def test_a_token_reads_all_weights_and_one_row_of_the_embeddings(tmp_path, tied) -> None:
    random_models.make(tmp_path, replace(TINY, tied=tied, dtype="bfloat16"))
    model = load(str(tmp_path), device="cpu", dtype="bfloat16").model
    layers = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64) + 64
    assert bandwidth.weights_per_token(model) == 2 * (600 * 64 + layers)


def test_a_share_of_bandwidth_is_what_the_weights_take(tmp_path, monkeypatch) -> None:
    random_models.make(tmp_path, TINY)
    model = load(str(tmp_path), device="cpu", dtype="float32").model
    read = bandwidth.weights_per_token(model)
    monkeypatch.setattr(bandwidth, "copy_speed", lambda _: 100.0 * read)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    shown = bandwidth.share(model, torch.device("cpu"), 25.0)
    assert (shown["gpu"], shown["share_of_bandwidth"]) == ("a GPU", 0.25)


def test_a_copy_has_a_speed() -> None:
    assert bandwidth.copy_speed(torch.device("cpu"), 1 << 20) > 0


def test_the_table_names_the_share_of_bandwidth(found) -> None:
    gpu = {"gpu": "a GPU", "bandwidth_gb_per_s": 3000.0, "weights_gb_per_token": 14.2}
    lines = table({"models": {"tiny": {**found, **gpu, "share_of_bandwidth": 0.6}}}).splitlines()
    assert lines[-1] == "ours @1 reads 14.20 GB of weights per token: 60% of the 3000 GB/s of a GPU"


def test_an_engine_at_full_load_is_watched(tiny, monkeypatch) -> None:
    monkeypatch.setattr(steady, "_POINTS", 5)
    monkeypatch.setattr(steady, "_FULL", 20)
    # A second passes from one request to the next.
    seconds = itertools.count()
    monkeypatch.setattr(steady, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    told: list[str] = []
    found = steady.run(source=tiny, minutes=2, seed=1, say=told.append)
    assert found.answered > 16
    assert found.cancelled > 0
    assert found.failed == {}
    assert len(told) == len(found.resident_mib) == 5
    assert found.growth == pytest.approx(found.resident_mib[4] / found.resident_mib[1], abs=0.001)


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, True),
        ({"growth": steady.MOST_GROWTH + 0.001}, False),
        ({"failed": {"the model failed": 1}}, False),
        ({"answered": 0}, False),
    ],
)
def test_a_flat_memory_and_no_failure_pass(changes, passed) -> None:
    report = steady.SteadyReport(
        minutes=1,
        answered=100,
        cancelled=5,
        overdue=5,
        failed={},
        tokens=1000,
        tokens_per_s=10.0,
        resident_mib=(100.0,) * 5,
        growth=steady.MOST_GROWTH,
    )
    assert replace(report, **changes).passed is passed


@pytest.mark.parametrize(("name", "millions"), [("15m", 15.7), ("125m", 123.6), ("7b", 7241.5)])
def test_sizes_are_what_their_names_say(name, millions) -> None:
    size = random_models.SIZES[name]
    head = size.width // size.heads
    attention = size.width * head * (2 * size.heads + 2 * size.kv_heads)
    layer = attention + 3 * size.width * size.inner
    tables = size.vocabulary * size.width * (1 if size.tied else 2)
    assert (size.layers * layer + tables) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.real_server
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_llama_cpp_writes_what_generate_writes(tmp_path, kind) -> None:
    random_models.make(tmp_path, replace(TINY, kind=kind, tied=False))
    gguf.convert(tmp_path, tmp_path / "tiny.gguf")
    loaded = load(str(tmp_path), device="cpu", dtype="float32")
    prompts = [loaded.tokenizer.encode("coin " * number + "A frozen lake") for number in range(3)]
    reference = Generate(loaded).write(prompts, 16)
    written = Llama(tmp_path / "tiny.gguf", rows=3, positions=128).write(prompts, 16)
    assert [one.tokens for one in written] == [16] * 3
    assert written == reference


@pytest.mark.real_server
@pytest.mark.parametrize("kind", gguf.KINDS)
def test_llama_cpp_follows_a_schema_with_weights_of_every_kind(tmp_path, kind) -> None:
    random_models.make(tmp_path, replace(TINY, tied=False))
    gguf.convert(tmp_path, tmp_path / "tiny.gguf", kind=kind)
    schema = {
        "type": "object",
        "properties": {"n": {"enum": [1, 2]}},
        "required": ["n"],
        "additionalProperties": False,
    }
    writer = Llama(tmp_path / "tiny.gguf", rows=2, positions=128)
    written = writer.write([[300, 301, 302], [303, 304]], 16, schema)
    assert {one.text for one in written} <= {'{"n":1}', '{"n":2}'}
