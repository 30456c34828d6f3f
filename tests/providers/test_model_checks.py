"""Reports about models: what is told of files, servers and windows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.app import doctor, model_checks
from infra.cli.app import app
from infra.cli.console import guarded
from infra.providers.local_model import describe, window
from infra.settings.settings import Settings, load
from infra.telemetry.dispatch import Telemetry
from infra.telemetry.process_events import WindowTooSmall
from tests.providers.openai_server import FakeServer, Reply, Said, answer

KINDS = ("layout", "plot", "scene", "dialogue", "transition", "custom")


def served(url: str = "http://127.0.0.1:9/v1", **more: Any) -> Settings:
    """All kinds go to a server."""
    return load(
        use_local_model=True,
        narrative={
            "providers": dict.fromkeys(KINDS, "openai"),
            "openai": {"base_url": url, "model": "m", **more},
        },
    )


def replies(**paths: Any) -> Any:
    def reply(asked: Any) -> Reply:
        name = asked.path.removeprefix("/v1").strip("/").replace("/", "_")
        if name == "chat_completions":
            return answer('{"answer":"yes"}')
        return Said(status=200 if name in paths else 404, body=paths.get(name, {}))

    return reply


LISTED = {"data": [{"id": "m"}]}


def test_the_house_model_fits_every_kind_at_default_settings() -> None:
    rows = model_checks.fits(load())
    assert {row.kind: row.fits for row in rows} == dict.fromkeys(KINDS, "yes")
    assert {(row.provider, row.window, row.estimated) for row in rows} == {("local", 1024, False)}


def test_the_house_models_prompt_is_counted_as_its_template_renders_it() -> None:
    (layout, *_) = model_checks.fits(load())
    assert (layout.structuring_prompt, layout.structuring_answer) == (3, 800)


def test_what_does_not_fit_names_numbers_and_setting() -> None:
    rows = {row.kind: row for row in model_checks.fits(served(window=900))}
    layout, plot = rows["layout"], rows["plot"]
    assert layout.fits == "no"
    assert "the window holds 900" in layout.detail
    assert "--ctx-size" in layout.fix
    assert "UNDERSTUDY_NARRATIVE__OPENAI__WINDOW" in layout.fix
    assert (plot.fits, plot.window, plot.estimated) == ("tight", 900, True)
    assert "UNDERSTUDY_NARRATIVE__DEFAULTS__KINDS__PLOT__FREEFORM__MAX_TOKENS" in plot.fix


def test_a_server_that_gets_the_whole_schema_needs_a_larger_window() -> None:
    sketched, whole = (
        model_checks.fits(served(window=2000, mode=mode))[0] for mode in ("json_schema", "prompt")
    )
    assert (sketched.structuring_prompt or 0) < 600
    assert (whole.structuring_prompt or 0) > 2000
    assert (sketched.fits, whole.fits) == ("tight", "no")


def test_a_limit_of_a_kind_makes_it_fit() -> None:
    kinds = {"layout": {"freeform": {"max_tokens": 300}, "structuring": {"max_tokens": 600}}}
    settings = load(
        narrative={
            "providers": {"layout": "openai"},
            "openai": {"model": "m", "window": 2000},
            "defaults": {"kinds": kinds},
        }
    )
    (layout, *_) = model_checks.fits(settings)
    assert (layout.fits, layout.writing_answer, layout.structuring_answer) == ("yes", 300, 600)


@pytest.mark.parametrize(
    ("paths", "tokens", "loaded"),
    [
        ({"models": {"data": [{"id": "m", "max_model_len": 4096}]}}, 4096, True),
        ({"models": LISTED, "props": {"default_generation_settings": {"n_ctx": 2048}}}, 2048, True),
        ({"models": LISTED, "api_ps": {"models": [{"name": "m:latest", "context_length": 8192}]}}, 8192, True),
        ({"models": LISTED, "api_ps": {"models": [{"name": "other", "context_length": 8192}]}}, None, False),
        ({"models": LISTED, "props": {"n_ctx": "many"}, "api_ps": [None]}, None, None),
        ({"models": LISTED}, None, None),
    ],
)  # fmt: skip
async def test_a_server_is_asked_for_its_window(
    *, paths: Any, tokens: int | None, loaded: bool | None
) -> None:
    async with FakeServer(replies(**paths)) as server:
        report = await model_checks.examine(served(server.url))
    (model,) = report.models
    assert (model.window, model.loaded, model.ok) == (tokens, loaded, True)
    assert {row.fits for row in report.kinds} <= ({"yes", "tight"} if tokens else {"unknown"})
    assert report.ok


async def test_a_server_that_is_away_serves_no_kind_unless_another_provider_does() -> None:
    async with FakeServer(replies()) as server:
        url = server.url
    report = await model_checks.examine(served(url))
    assert not report.ok
    assert report.unserved == KINDS
    chained = load(
        narrative={"providers": {"plot": ["openai", "local"]}, "openai": {"base_url": url, "model": "m"}}
    )
    report = await model_checks.examine(chained)
    assert (report.ok, report.unserved) == (True, ())


async def test_a_call_shows_how_a_server_follows_a_schema() -> None:
    async with FakeServer(replies(models=LISTED)) as server:
        report = await model_checks.examine(served(server.url), call="servers")
    assert report.models[0].schemas == "asked with json_schema, and followed it"


async def test_doctor_asks_every_provider_when_told_to() -> None:
    async with FakeServer(replies(models=LISTED)) as server:
        settings = load(
            use_local_model=True,
            narrative={
                "providers": {**dict.fromkeys(KINDS, "openai"), "plot": "scripted"},
                "openai": {"base_url": server.url, "model": "m"},
            },
        )
        quiet = {row.check: row for row in await doctor._providers(settings, ask=False)}
        calls = len([each for each in server.asked if each.path.endswith("/chat/completions")])
        asked = {row.check: row for row in await doctor._providers(settings, ask=True)}
    assert (calls, "provider scripted" in quiet) == (0, False)
    assert "asked with a small call" not in quiet["provider openai"].detail
    assert asked["provider openai"].detail.endswith("asked with json_schema, and followed it")
    assert asked["provider scripted"].ok


async def test_doctor_tells_of_a_provider_that_refuses_a_call() -> None:
    def refuse(asked: Any) -> Reply:
        if asked.path.endswith("/chat/completions"):
            return Said(status=401, body={"error": {"message": "no such key"}})
        return replies(models=LISTED)(asked)

    async with FakeServer(refuse) as server:
        rows = await doctor._providers(served(server.url), ask=True)
    row = {each.check: each for each in rows}["provider openai"]
    assert (row.severity, "a call failed" in row.detail, bool(row.fix)) == ("error", True, True)


async def test_a_server_without_a_model_is_told_and_not_asked() -> None:
    report = await model_checks.examine(served(model=None))
    assert "set UNDERSTUDY_NARRATIVE__OPENAI__MODEL" in report.models[0].detail
    assert not report.ok


async def test_a_start_warns_of_kinds_that_do_not_fit() -> None:
    seen: list[Any] = []
    telemetry = Telemetry(seen.append)
    async with FakeServer(replies(models=LISTED)) as server:
        await model_checks.emit_misfits(served(server.url, window=900), telemetry)
    assert all(isinstance(each, WindowTooSmall) for each in seen)
    assert "layout" in {each.kind for each in seen}
    assert "provider openai cannot write layout: its prompts take" in str(seen[0])


def test_doctor_has_one_row_where_all_fit_and_one_for_each_that_does_not() -> None:
    (fine,) = doctor.windows(model_checks.fits(load()))
    assert fine.ok
    rows = doctor.windows(model_checks.fits(served(window=900)))
    assert {(row.severity, row.ok) for row in rows} == {("error", False), ("info", True)}
    (unknown,) = doctor.windows(model_checks.fits(served()))
    assert (unknown.ok, "not known for openai" in unknown.detail) == (True, True)


def test_a_folder_tells_licence_size_and_window(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps(
            {"max_position_embeddings": 8192, "sliding_window": 512, "layer_types": ["sliding_attention"]}
        )
    )
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\nlicense: other\n")
    (tmp_path / "a.safetensors").write_bytes(b"x" * 10)
    settings = load(local={"model": str(tmp_path)})
    told = describe(settings, "local")
    assert (told.licence, told.size_bytes, told.window) == ("apache-2.0", 10, 512)
    assert "tokenizer.json is missing" in (told.problem or "")
    found = window(settings, "local")
    assert found is not None
    assert (found.tokens, found.estimated) == (512, True)
    assert found.fix(400) == "set UNDERSTUDY_LOCAL__MAX_LEN to at least 400"
    assert "this one holds 512" in found.fix(600)


@pytest.mark.parametrize("command", [["models", "ls"], ["models", "check"]])
def test_the_commands_print_rows_for_people_and_json(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*more: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["understudy", *command, *more])
        status = guarded(app)
        return status, capsys.readouterr().out

    status, text = run()
    assert status == 0
    assert "local" in text
    status, text = run("--json")
    value = json.loads(text)
    models = value if command[1] == "ls" else value["models"]
    assert [each["provider"] for each in models] == ["local"]


def test_the_check_fails_where_a_kind_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT", "openai")
    monkeypatch.setattr("sys.argv", ["understudy", "models", "check"])
    assert guarded(app) == 1
    assert "no provider can write plot" in capsys.readouterr().err
