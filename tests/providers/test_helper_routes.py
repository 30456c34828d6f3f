"""Providers of helper tasks: which processes make them, what is around them, and who cannot be one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.errors import Misconfigured
from contracts.kinds import KindNames
from contracts.policy.budget import Reserve
from contracts.ports import ProviderError
from infra.app.context_ports import load_ports
from infra.app.enhancement import enhancement_form
from infra.providers.breaker import Breaker, CircuitState
from infra.providers.budget import Budgeted
from infra.providers.names import chains, helper_chains
from infra.providers.route_checks import check, require
from infra.providers.routing import build_providers, routes, servers
from infra.settings.settings import Settings, load
from tests.providers.doubles import Playing
from tests.providers.openai_server import ask, params

OPENAI = {"model": "m", "base_url": "http://127.0.0.1:9/v1"}
HELPED = {"providers": {"evaluation": "openai", "enhancement": ["openai", "scripted"]}, "openai": OPENAI}


def settings(narrative: dict[str, Any] = HELPED, **more: Any) -> Settings:
    return load(use_local_model=True, narrative=narrative, **more)


def test_helper_tasks_are_no_kinds_and_off_by_default() -> None:
    assert dict(helper_chains(load())) == {}
    assert dict(helper_chains(settings())) == {
        "evaluation": ("openai",),
        "enhancement": ("openai", "scripted"),
    }
    assert not {"evaluation", "enhancement"} & dict(chains(settings())).keys()
    assert "openai" in servers(settings())


def test_local_means_the_one_provider_here_too() -> None:
    narrative = {"provider": "openai", "providers": {"evaluation": "local"}, "openai": OPENAI}
    assert dict(helper_chains(settings(narrative))) == {"evaluation": ("openai",)}


@pytest.mark.parametrize("name", ["evaluation", "enhancement"])
def test_no_kind_takes_the_name_of_a_task(name: str) -> None:
    with pytest.raises(ValueError, match="routes have a task of this name; choose another"):
        KindNames(()).add(name)


@pytest.mark.parametrize(
    ("stages", "kinds", "tasks"),
    [
        (("validate-repair", "context-build"), False, {"evaluation"}),
        (("freeform-gen",), True, {"enhancement"}),
        (("structuring",), True, set[str]()),
        (("fallback",), False, set[str]()),
    ],
)
def test_a_process_makes_the_providers_that_its_stages_ask(
    stages: tuple[str, ...],
    kinds: bool,  # noqa: FBT001 - a case's expectation
    tasks: set[str],
) -> None:
    made: list[Any] = []
    found = build_providers(settings(), on_made=made.append, stages=stages)
    assert (bool(found.by_kind), found.by_task.keys()) == (kinds, tasks)
    assert (len(made) > 0) is (kinds or bool(tasks))


def test_without_models_nothing_is_judged() -> None:
    assert build_providers(load(narrative=HELPED)).by_task == {}


async def test_a_judge_that_is_away_does_not_stop_the_same_provider_from_writing() -> None:
    breakers: list[Breaker] = []
    # Nobody listens on its port.
    narrative = {"provider": "openai", "providers": {"evaluation": "openai"}, "openai": OPENAI}
    made = build_providers(settings(narrative), on_guarded=breakers.append)
    writes, judges = (next(each for each in breakers if each.task == task) for task in ("", "evaluation"))
    for _ in range(5):
        with pytest.raises(ProviderError):
            await made.by_task["evaluation"].generate(ask(), params())
    assert (writes.name, judges.name) == ("openai", "openai")
    assert (judges.state, writes.state) == (CircuitState.OPEN, CircuitState.CLOSED)


async def test_what_a_task_reserves_is_apart_from_the_request_s_own() -> None:
    keys: list[str] = []

    class Told:
        async def change(self, name: str, change: Any, *, ends_ms: int) -> None:
            del name, ends_ms
            if isinstance(change, Reserve):
                keys.append(change.key)

    limits = load(budgets={"total_tokens": 1000}).budgets.limits()
    for task in ("", "evaluation"):
        await Budgeted(Playing("good"), accounts=Told(), limits=limits, task=task).generate(ask(), params())
    assert keys == ["r1:1", "r1:1:evaluation"]


@pytest.mark.parametrize("task", ["evaluation", "enhancement"])
def test_a_model_that_only_writes_documents_cannot_help(task: str) -> None:
    (why,) = check(settings({"providers": {task: "local"}}))
    assert why.startswith(
        f"setting UNDERSTUDY_NARRATIVE__PROVIDERS__{task.upper()} is 'local': the house model has"
    )
    (why,) = check(settings({"providers": {task: "gguf"}, "provider": "scripted"}))
    assert "was tuned to write documents" in why


def test_a_mistake_is_told_where_the_task_is_done() -> None:
    wrong = settings({"provider": "scripted", "providers": {"evaluation": "opnai"}})
    with pytest.raises(
        Misconfigured, match="PROVIDERS__EVALUATION is 'opnai': no such provider, did you mean 'openai'"
    ):
        require(wrong, ("validate-repair",))
    assert check(wrong, ("structuring",)) == ()


def test_enhancement_is_part_of_cache_keys_and_evaluation_is_not() -> None:
    def route(**providers: str) -> str:
        narrative = {"provider": "scripted", "providers": providers, "openai": OPENAI}
        return routes(settings(narrative))["plot"]

    def enhanced(**enhancement: Any) -> Settings:
        providers = {"enhancement": "scripted"}
        return settings({"provider": "scripted", "providers": providers, "enhancement": enhancement})

    assert route(evaluation="scripted") == route()
    assert len({route(), route(enhancement="scripted"), route(enhancement="openai")}) == 3
    form = enhancement_form(enhanced())
    assert form == enhancement_form(enhanced(timeout=3)) != enhancement_form(enhanced(of="wish"))
    assert enhancement_form(load()) == ""
    assert load_ports(enhanced()).routes["plot"].endswith(form)


def test_a_route_may_be_a_chain_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_NARRATIVE__PROVIDERS__EVALUATION", json.dumps(["openai", "scripted"]))
    assert load().narrative.providers.evaluation == ("openai", "scripted")
