"""Which provider does each kind get from its settings?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts.errors import ErrorCode
from contracts.kinds import KINDS
from contracts.ports import ProviderError
from infra.app.process_plan import environment
from infra.host.extras import install_command
from infra.providers import names, table
from infra.providers.breaker import Breaker, CircuitState
from infra.providers.chain import Chain
from infra.providers.names import chains
from infra.providers.observed import Observed
from infra.providers.response_cache import CachedProvider
from infra.providers.route_checks import check, require
from infra.providers.routing import Missing, build_providers, providers, routes
from infra.settings.settings import SettingsError, load
from tests.providers.openai_server import FakeServer, answer, ask, params, refusal


def routed(narrative, **more):
    return providers(load(use_local_model=True, narrative=narrative), **more)


async def why(provider) -> str:
    with pytest.raises(ProviderError) as found:
        await provider.generate(ask(), params())
    assert found.value.code is ErrorCode.GEN_PROVIDER_UNAVAILABLE
    return str(found.value)


def test_without_a_model_there_are_none() -> None:
    assert providers(load(use_local_model=False)) == {}


def test_a_server_gets_a_breaker_and_the_cache_and_is_made_once() -> None:
    made = routed({"providers": {"plot": "openai", "scene": "openai"}, "openai": {"model": "m"}})
    assert set(made) == set(KINDS)
    assert isinstance(made["plot"], CachedProvider)
    assert made["plot"] is made["scene"]
    assert (made["plot"].name, made["plot"].model) == ("openai", "m")


def test_the_cache_can_be_off() -> None:
    made = routed(
        {"providers": {"plot": "openai"}, "openai": {"model": "m"}, "response_cache": {"enabled": False}}
    )
    assert isinstance(made["plot"], Breaker)


def test_the_scripted_provider_has_neither_breaker_nor_cache() -> None:
    assert isinstance(routed({"providers": {"plot": "scripted"}})["plot"], Observed)


def test_a_chain_shares_its_links_with_other_routes() -> None:
    made = routed(
        {
            "providers": {"plot": ["openai", "big", "scripted"], "scene": "big", "layout": ["scripted"]},
            "openai": {"model": "m"},
            "servers": {"big": {"model": "b", "base_url": "http://127.0.0.1:9/v1"}},
        }
    )
    assert isinstance(made["plot"], Chain)
    assert (made["plot"].name, made["plot"].model) == ("openai, big, scripted", "m, b, scripted-1")
    assert made["scene"].name == "big"
    assert made["layout"].name == "scripted"


def test_other_weights_under_the_same_name_are_another_route(tmp_path: Path) -> None:
    def route() -> str:
        return routes(load(use_local_model=True, local={"model": str(tmp_path)}))["plot"]

    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    first = route()
    assert route() == first
    weights.write_bytes(b"two")
    assert route() != first


async def test_what_cannot_be_asked_says_what_to_do() -> None:
    made = routed(
        {
            "providers": {"plot": "openai", "scene": "nobody", "layout": "big"},
            "servers": {"big": {"base_url": "http://127.0.0.1:9/v1"}},
        }
    )
    assert all(isinstance(made[kind], Missing) for kind in ("plot", "scene", "layout"))
    assert "UNDERSTUDY_NARRATIVE__OPENAI__MODEL" in await why(made["plot"])
    assert "UNDERSTUDY_NARRATIVE__SERVERS__BIG__MODEL" in await why(made["layout"])
    assert "known are local, openai, scripted, gguf, big" in await why(made["scene"])


@pytest.mark.parametrize(
    ("narrative", "said"),
    [
        (
            {"providers": {"plot": "opnai"}},
            (
                "setting UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT is 'opnai': no such provider, did you mean 'openai'?; "
                "known are local, openai, scripted"
            ),
        ),
        (
            {"providers": {"plot": "opnai", "scene": "opnai"}},
            "setting UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT (and SCENE) is 'opnai': no such provider",
        ),
        (
            {"providers": {"plot": ["scripted", "bgi"]}, "servers": {"big": {"model": "b"}}},
            "did you mean 'big'?; known are local, openai, scripted, gguf, big",
        ),
        (
            {"providers": {"plot": "openai"}},
            "set UNDERSTUDY_NARRATIVE__OPENAI__MODEL to its name on the server",
        ),
        (
            {"providers": {"plot": "openai"}, "openai": {"model": " "}},
            "set UNDERSTUDY_NARRATIVE__OPENAI__MODEL to its name on the server",
        ),
        (
            {"providers": {"plot": "big"}, "servers": {"big": {"base_url": "http://127.0.0.1:9/v1"}}},
            "set UNDERSTUDY_NARRATIVE__SERVERS__BIG__MODEL to its name on the server",
        ),
        (
            {"providers": {"plot": "openai"}, "openai": {"model": "m", "base_url": "http://nowhere:80a/v1"}},
            "UNDERSTUDY_NARRATIVE__OPENAI__BASE_URL is no address of a server",
        ),
        (
            {"providers": {"plot": "openai"}, "openai": {"model": "m", "api_key": "sk-a\nb"}},
            "UNDERSTUDY_NARRATIVE__OPENAI__API_KEY has characters that no key has",
        ),
        ({"servers": {"local": {"model": "m"}}}, "names a server 'local', which is a built-in provider"),
    ],
)
def test_providers_that_cannot_be_are_refused_at_the_start(narrative, said: str) -> None:
    settings = load(use_local_model=True, narrative=narrative)
    (why,) = check(settings)
    assert said in why
    with pytest.raises(SettingsError, match="setting UNDERSTUDY_"):
        require(settings)


def test_what_nobody_asks_may_lack_what_it_needs() -> None:
    require(load(use_local_model=True, narrative={"servers": {"spare": {}}}))
    require(load(use_local_model=False, narrative={"providers": {"plot": "openai"}}))


def test_a_name_that_is_no_provider_is_refused_also_while_no_model_is_wanted() -> None:
    with pytest.raises(SettingsError, match="PLOT is 'opnai': no such provider, did you mean 'openai'"):
        require(load(use_local_model=False, narrative={"providers": {"plot": "opnai"}}))


async def test_without_the_client_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setattr("infra.providers.servers.find_spec", lambda _: None)
    made = routed({"providers": {"plot": "openai"}, "openai": {"model": "m"}})
    assert install_command("openai") in await why(made["plot"])


def test_the_client_is_imported_only_when_routed() -> None:
    code = (
        "import sys; from infra.settings.settings import load; from infra.providers.routing import providers; "
        "providers(load(use_local_model=True)); print('httpx2' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"


async def test_an_open_breaker_is_told_and_the_next_link_answers() -> None:
    breakers: list[Breaker] = []
    async with (
        FakeServer(lambda _: refusal("overloaded", status=503)) as down,
        FakeServer(lambda _: answer("text")) as up,
    ):
        made = routed(
            {
                "providers": {"plot": ["openai", "big"]},
                "openai": {"model": "m", "base_url": down.url},
                "servers": {"big": {"model": "b", "base_url": up.url}},
                "breaker": {"failures": 2},
            },
            on_guarded=breakers.append,
        )
        answers = [await made["plot"].generate(ask(str(number)), params()) for number in range(4)]
    assert [each.text for each in answers] == ["text"] * 4
    assert len(down.asked) == 2
    assert "left alone after 2 failures in a row" in answers[-1].attempts[0].why
    assert {one.name: one.state for one in breakers} == {
        "local": CircuitState.CLOSED,
        "openai": CircuitState.OPEN,
        "big": CircuitState.CLOSED,
    }


async def test_answers_in_a_folder_outlive_the_process(tmp_path: Path) -> None:
    async with FakeServer(lambda _: answer("text")) as server:
        narrative = {
            "providers": {"plot": "openai"},
            "openai": {"model": "m", "base_url": server.url},
            "response_cache": {"directory": tmp_path / "answers"},
        }
        first = await routed(narrative)["plot"].generate(ask(), params())
        again = await routed(narrative)["plot"].generate(ask(), params())
    assert (first.cached, again.cached, len(server.asked)) == (False, True, 1)
    assert again.text == "text"


# -- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["[]", '["openai", "openai"]'])
def test_a_chain_that_makes_no_sense_stops_the_start(monkeypatch, route) -> None:
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT", route)
    with pytest.raises(SettingsError, match="UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT"):
        load()


def test_a_chain_from_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT", '["openai", "scripted"]')
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDERS__SCENE", "scripted")
    found = load().narrative.providers
    assert (found.plot, found.scene) == (("openai", "scripted"), "scripted")


def test_one_setting_routes_every_kind_that_has_no_route_of_its_own(monkeypatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDER", '["openai", "scripted"]')
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT", "scripted")
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDERS__SCENE", '["local"]')
    found = dict(chains(load()))
    assert (found["layout"], found["custom"]) == (("openai", "scripted"),) * 2
    assert (found["plot"], found["scene"]) == (("scripted",), ("local",))


@pytest.mark.parametrize("name", ["API_KEY", "APIKEY"])
def test_a_key_is_never_shown(monkeypatch, name) -> None:
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__OPENAI__" + name, '{"k": "sk-secret"}')
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__OPENAI__MODE", "loud")
    with pytest.raises(SettingsError) as found:
        load()
    assert "sk-secret" not in str(found.value)


def test_children_get_keys_servers_and_chains(monkeypatch, tmp_path: Path) -> None:
    ours = load(
        narrative={
            "providers": {"plot": ["openai", "big"]},
            "openai": {"api_key": "sk-1", "model": "m"},
            "servers": {"big": {"api_key": "sk-2", "model": "b"}},
            "response_cache": {"directory": tmp_path},
        }
    )
    variables = environment(ours, "nats://127.0.0.1:1", os.environ)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    theirs = load().narrative
    assert theirs == ours.narrative
    assert theirs.servers["big"].api_key == SecretStr("sk-2")


# -- the table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", table.BUILT_IN)
def test_a_line_of_the_table_is_all_that_a_built_in_provider_needs(name: str, tmp_path: Path) -> None:
    file = tmp_path / "small.gguf"
    file.write_bytes(b"GGUF")
    settings = load(use_local_model=True, narrative={"openai": {"model": "m"}}, gguf={"model": str(file)})
    spec = table.spec_of(settings, name)
    made = spec.make(settings, name)
    assert made.name == name
    assert spec.problem(settings, name) is None
    # With it alone in keys of the result cache, content of another model would be found.
    assert spec.identity is not None
    assert spec.identity(settings, name).startswith(name)


def test_a_name_that_is_in_no_table_has_no_specification() -> None:
    with pytest.raises(KeyError):
        table.spec_of(load(), "nobody")


TWO = {
    "providers": {"plot": "big"},
    "openai": {"model": "m", "price_prompt": 0.5},
    "servers": {
        "big": {"model": "b", "base_url": "http://127.0.0.1:9/v1"},
        "small": {"model": "s/1", "base_url": "http://127.0.0.1:9/v1"},
    },
}


async def test_a_rerun_may_name_routed_providers_servers_and_models_of_servers() -> None:
    made = build_providers(load(use_local_model=True, narrative=TWO))
    assert made.find("big") is made.by_kind["plot"]
    assert (made.find("small").name, made.find("small").model) == ("small", "s/1")
    assert made.find("small") is made.find("small")
    other = made.find("big/org/c")
    assert (other.name, other.model) == ("big", "org/c")
    assert other is made.find("big/org/c")
    assert made.find("big").model == "b"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "provider 'nobody' is unknown; known are local, openai"),
        ("scripted", "no route names provider 'scripted'"),
        ("local/x", "'local' is no server"),
        ("big/", "names no model"),
    ],
)
async def test_what_a_rerun_cannot_name_fails_and_says_why(name: str, said: str) -> None:
    assert said in await why(build_providers(load(use_local_model=True, narrative=TWO)).find(name))


@pytest.mark.parametrize(
    ("text", "name"), [("big", "big"), ("b", "big"), ("s/1", "small"), ("openai/gpt", "openai/gpt")]
)
def test_a_model_is_found_by_its_own_name(text: str, name: str) -> None:
    assert names.choose(load(use_local_model=True, narrative=TWO), text) == name


def test_an_unknown_model_is_refused_with_the_choices() -> None:
    with pytest.raises(names.ModelUnknown, match=r"called 'gpt'; use one of .*big \(b\).*small/MODEL"):
        names.choose(load(use_local_model=True, narrative=TWO), "gpt")


def test_another_model_of_a_server_has_no_known_price() -> None:
    settings = load(use_local_model=True, narrative=TWO)
    assert names.with_model(settings, "openai", "gpt").narrative.openai.price_prompt is None
    assert settings.narrative.openai.price_prompt == 0.5
