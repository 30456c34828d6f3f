"""Which value holds, and is a wrong one told by its name, its value and what is allowed?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from contracts import pipeline
from infra.app.process_plan import environment
from infra.lab.docgen import settings as documented
from infra.settings.settings import SettingsError, load, stage_names

Environ = Callable[..., None]
SETTINGS = documented.every()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The working directory: empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNDERSTUDY_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def config(folder: Path) -> Callable[[str | bytes], Path]:
    def write(text: str | bytes) -> Path:
        file = folder / "config.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    return write


@pytest.fixture
def environ(monkeypatch) -> Environ:
    def put(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


def refusal() -> str:
    with pytest.raises(SettingsError) as told:
        load()
    return str(told.value)


# -- which value holds -------------------------------------------------------------------------------------


def test_without_anything_no_model_is_called() -> None:
    assert load().use_local_model is False


@pytest.mark.parametrize("config_value", [None, False, True])
def test_the_plain_variable_wins_over_the_prefixed_one_and_that_over_the_file(
    config, monkeypatch, config_value
) -> None:
    if config_value is not None:
        config(f"use_local_model: {config_value}")
    for prefixed, plain in product((None, False, True), repeat=2):
        with monkeypatch.context() as patch:
            for name, value in (("UNDERSTUDY_USE_LOCAL_MODEL", prefixed), ("USE_LOCAL_MODEL", plain)):
                if value is not None:
                    patch.setenv(name, str(value).lower())
            wanted = next((each for each in (plain, prefixed, config_value) if each is not None), False)
            assert load().use_local_model is wanted, (prefixed, plain)


def test_the_environment_wins_over_the_file_and_an_argument_over_both(config, environ) -> None:
    config("max_attempts: 3\nmax_reasks: 3\ndeadline_ms: 3")
    environ(UNDERSTUDY_MAX_REASKS="4", UNDERSTUDY_DEADLINE_MS="4")
    found = load(deadline_ms=5)
    assert (found.max_attempts, found.max_reasks, found.deadline_ms) == (3, 4, 5)


def test_places_add_up_within_a_part(config, environ) -> None:
    config("broker: {port: 1111, replicas: 3}\nnarrative: {providers: {plot: [openai, scripted]}}")
    environ(UNDERSTUDY_BROKER__PORT="2222", UNDERSTUDY_NARRATIVE__PROVIDERS__SCENE="scripted")
    found = load(broker={"sync_interval": "2m"})
    assert (found.broker.port, found.broker.replicas, found.broker.sync_interval) == (2222, 3, "2m")
    routes = found.narrative.providers
    assert (routes.plot, routes.scene, routes.layout) == (("openai", "scripted"), "scripted", "local")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.path)
def test_every_documented_variable_is_heeded(environ, setting) -> None:
    before = load().model_dump()
    environ(**{setting.variable: "?"})
    try:
        heeded = load().model_dump() != before
    except SettingsError as refused:
        heeded = setting.path.partition(".")[0] in str(refused).lower()
    assert heeded


@pytest.mark.parametrize("setting", [each for each in SETTINGS if each.default is not None])
def test_a_setting_that_is_said_alone_leaves_the_others_as_they_are(environ, setting) -> None:
    before = load(data_dir=Path("data").absolute())
    environ(**{setting.variable: environment(before, "", {})[setting.variable]})
    assert load(data_dir=before.data_dir).model_dump() == before.model_dump()


def test_the_named_file_is_read_instead_of_the_one_in_the_folder(config, environ, folder: Path) -> None:
    config("max_attempts: 3")
    (folder / "other.yaml").write_text("max_reasks: 3")
    environ(UNDERSTUDY_CONFIG=str(folder / "other.yaml"))
    assert (load().max_attempts, load().max_reasks) == (5, 3)


@pytest.mark.parametrize("text", ["", "# max_attempts: 3\n", "---\n", "{}"])
def test_a_file_that_says_nothing_changes_nothing(config, text) -> None:
    before = load()
    config(text)
    assert load().model_dump() == before.model_dump()


def test_the_database_is_beside_the_other_data_unless_one_is_named(folder: Path) -> None:
    assert load(data_dir="data").database == f"sqlite:///{folder / 'data' / 'understudy.db'}"
    assert load(database_url="postgresql://host/db").database == "postgresql://host/db"


def test_each_stage_has_a_bound_of_its_own() -> None:
    bounds = {stage: number for number, stage in enumerate(pipeline.STAGES, start=1)}
    found = load(concurrency={stage.replace("-", "_"): bound for stage, bound in bounds.items()})
    assert {stage: found.concurrency.of(stage) for stage in pipeline.STAGES} == bounds


# -- nothing changes later ---------------------------------------------------------------------------------


def _parts(model: BaseModel) -> Iterator[BaseModel]:
    yield model
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _parts(value)


def test_no_setting_can_be_changed_once_read() -> None:
    parts = list(_parts(load()))
    assert len({type(part) for part in parts}) > 10
    for part in parts:
        for name in type(part).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(part, name, None)


# -- what is wrong is told ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("USE_LOCAL_MODEL", "maybe", "a valid boolean"),
        ("UNDERSTUDY_MAX_ATTEMPTS", "21", "less than or equal to 20"),
        ("UNDERSTUDY_DEADLINE_MS", "0", "greater than or equal to 1"),
        ("UNDERSTUDY_DEADLINE_MS", "1m", "a valid integer"),
        ("UNDERSTUDY_ACK_WAIT", "inf", "a finite number"),
        ("UNDERSTUDY_AUDIT__SWEEP_EVERY", "inf", "a finite number"),
        ("UNDERSTUDY_GRACE", "nan", "a finite number"),
        ("UNDERSTUDY_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("UNDERSTUDY_LOCAL__DEVICE", "tpu", "auto|cpu|cuda"),
        ("UNDERSTUDY_NARRATIVE__OPENAI__BASE_URL", "localhost", "https?://"),
        ("UNDERSTUDY_NARRATIVE__DEFAULTS__FREEFORM__TOP_P", "0", "greater than 0"),
        ("UNDERSTUDY_BROKER", "4222", "a valid dictionary"),
    ],
)
def test_a_wrong_variable_is_told_with_its_value_and_what_is_allowed(
    environ, variable, value, allowed
) -> None:
    environ(**{variable: value})
    said = refusal()
    assert said.startswith(f"setting {variable} is ")
    assert value in said.partition(": ")[0]
    assert allowed in said


def test_wrong_values_of_the_file_are_told_all_at_once(config) -> None:
    config("max_attempts: many\nbroker: {port: 0}\nnarrative: {breaker: {failures: -1}}")
    first, second, third = sorted(refusal().split("; "))
    assert first.startswith("setting UNDERSTUDY_BROKER__PORT is 0 (config.yaml, line 2): ")
    assert second.startswith("setting UNDERSTUDY_MAX_ATTEMPTS is 'many' (config.yaml, line 1): ")
    assert third.startswith("setting UNDERSTUDY_NARRATIVE__BREAKER__FAILURES is -1 (config.yaml, line 3): ")


def test_a_wrong_variable_is_not_laid_on_the_file(config, environ) -> None:
    config("broker: {port: 1111}")
    environ(UNDERSTUDY_BROKER__PORT="0")
    assert refusal().startswith("setting UNDERSTUDY_BROKER__PORT is '0': ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budget: {total_tokens: 5}", "line 1: there is no setting budget; did you mean budgets?"),
        ("\ndeadlinems: 5", "line 2: there is no setting deadlinems; did you mean deadline_ms?"),
        ("deadlineMs: 5", "line 1: there is no setting deadlineMs; did you mean deadline_ms?"),
        ("DEADLINE_MS: 5", "line 1: there is no setting DEADLINE_MS; did you mean deadline_ms?"),
        ("broker:\n  Port: 5", "line 2: there is no setting broker.Port; did you mean broker.port?"),
        ("broker:\n  1: 5", "line 2: there is no setting broker.1; config.yaml.example has all"),
        ("sync_interval: 5", "line 1: there is no setting sync_interval; did you mean broker.sync_interval?"),
        ("narrative: {openai: {modle: m}}", "did you mean narrative.openai.model?"),
        ("narrative: {servers: {big: {baseurl: m}}}", "did you mean narrative.servers.big.base_url?"),
        ("zzzzzz: 5", "line 1: there is no setting zzzzzz; config.yaml.example has all"),
    ],
)
def test_a_name_of_the_file_that_is_no_setting_is_refused_with_the_one_that_was_meant(
    config, text, said
) -> None:
    config(text)
    assert said in refusal()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("UNDERSTUDY_DEADLINEMS", "UNDERSTUDY_DEADLINE_MS"),
        ("UNDERSTUDY_CONCURENCY__AUDIT", "UNDERSTUDY_CONCURRENCY__AUDIT"),
        ("understudy_concurency__audit", "UNDERSTUDY_CONCURRENCY__AUDIT"),
        ("UNDERSTUDY_BUDGET__TOTAL_TOKENS", "UNDERSTUDY_BUDGETS__TOTAL_TOKENS"),
        ("UNDERSTUDY_BROKER_PORT", "UNDERSTUDY_BROKER__PORT"),
        ("UNDERSTUDY__BROKER__PORT", "UNDERSTUDY_BROKER__PORT"),
        ("UNDERSTUDY_BROKER__PROT", "UNDERSTUDY_BROKER__PORT"),
        ("UNDERSTUDY_SYNC_INTERVAL", "UNDERSTUDY_BROKER__SYNC_INTERVAL"),
        ("UNDERSTUDY_BROKER__PORT__", "UNDERSTUDY_BROKER__PORT"),
        ("UNDERSTUDY_NARRATIVE__OPENAI__MODLE", "UNDERSTUDY_NARRATIVE__OPENAI__MODEL"),
        ("UNDERSTUDY_NARRATIVE__SERVERS__BIG__BASEURL", "UNDERSTUDY_NARRATIVE__SERVERS__BIG__BASE_URL"),
        ("UNDERSTUDY_USE_LOCAL_MODLE", "USE_LOCAL_MODEL"),
        ("UNDERSTUDY_NARATIVE__PROVIDERS__PLOT", "UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused_with_the_one_that_was_meant(environ, name, meant) -> None:
    environ(**{name: "7"})
    assert refusal() == f"there is no setting {name}; did you mean {meant}?"


@pytest.mark.parametrize("name", ["drafts", "guided"])
def test_a_setting_of_an_older_version_is_refused_by_its_name(config, name) -> None:
    config(f"local: {{{name}: 1}}")
    assert f"there is no setting local.{name}; config.yaml.example has all" in refusal()


@pytest.mark.parametrize("name", ["UNDERSTUDY_LOCAL__DRAFTS", "UNDERSTUDY_LOCAL__GUIDED"])
def test_a_variable_of_an_older_version_is_refused_by_its_name(environ, name) -> None:
    environ(**{name: "1"})
    assert refusal() == f"there is no setting {name}; docs/settings.md lists all"


def test_names_are_refused_before_values(config, environ) -> None:
    config("max_attempts: many")
    environ(UNDERSTUDY_ACK_WAITT="1", UNDERSTUDY_ACK_WAIT="soon")
    assert refusal() == "there is no setting UNDERSTUDY_ACK_WAITT; did you mean UNDERSTUDY_ACK_WAIT?"


def test_a_heap_of_unknown_names_is_cut(config) -> None:
    config("\n".join(f"{'x' * 900}{number}: 1" for number in range(50)))
    assert refusal().endswith("; and 40 more")
    assert len(refusal()) < 3000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UNDERSTUDY_CONFIG", "other.yaml"),
        ("UNDERSTUDY_TEST_NO_POSTGRES", "1"),
        ("UNDERSTUDY_SERVICE_HOST", "10.0.0.1"),
        ("UNDERSTUDY_GATEWAY_SERVICE_PORT_HTTP", "80"),
        ("UNDERSTUDY_PORT", "tcp://10.0.0.1:4222"),
        ("UNDERSTUDY_PORT_4222_TCP_ADDR", "10.0.0.1"),
        ("UNDERSTUDY_NARRATIVE__SERVERS__BIG", '{"model": "m"}'),
    ],
)
def test_a_variable_of_another_purpose_is_left_alone(folder, environ, name, value) -> None:
    (folder / "other.yaml").write_text("")
    before = load().model_dump(exclude={"narrative": {"servers"}})
    environ(**{name: value})
    assert load().model_dump(exclude={"narrative": {"servers"}}) == before


def test_a_variable_in_small_letters_is_the_same_variable(environ) -> None:
    environ(understudy_max_reasks="5", Understudy_Broker__Port="6")
    found = load()
    assert (found.max_reasks, found.broker.port) == (5, 6)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.path)
def test_a_slip_in_any_variable_is_refused_with_it(environ, setting) -> None:
    slipped = setting.variable.removeprefix("USE_") if setting.path == "use_local_model" else setting.variable
    slipped = f"UNDERSTUDY_{slipped.removeprefix('UNDERSTUDY_')}X"
    environ(**{slipped: "1"})
    assert f"there is no setting {slipped}; did you mean {setting.variable}?" == refusal()


@pytest.mark.parametrize("route", ["3", "[3]", "{a: b}", "[]", "[local, local]", "null"])
def test_a_route_that_is_none_is_one_fault_of_one_setting(config, route) -> None:
    config(f"narrative: {{providers: {{plot: {route}}}}}")
    said = refusal()
    assert said.startswith("setting UNDERSTUDY_NARRATIVE__PROVIDERS__PLOT is ")
    assert said.count("setting ") == 1
    assert "a provider's name, or a chain" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("broker: [", r"is not YAML: .* \(line 1, column 10\)"),
        (
            "narrative:\n  openai:\n    api_key: sk-1\n   mode: sk-2\n",
            r"is not YAML: .* \(line 4, column 4\)",
        ),
        ("script: !!python/name:os.system", "is not YAML: .*os.system"),
        (b"\xff\xfe\xfa", "cannot be read: .*utf-8"),
        ("a\x00b: 1", "cannot be read: "),
        (
            "broker:\n  port: 1\nbroker:\n  port: 2",
            ", line 3: broker appears twice, first on line 1; keep one",
        ),
        ("broker:\n  port: 1\n  port: 2", ", line 3: broker.port appears twice, first on line 2; keep one"),
        ("# words\njust words", r"must hold settings by their names.*\(line 2\)"),
        ("just words", "must hold settings by their names"),
        ("[max_attempts, 3]", "must hold settings by their names"),
        ("2026-01-01: 3", "must hold settings by their names"),
    ],
)
def test_a_file_that_holds_no_settings_is_told_without_its_lines(config, text, said) -> None:
    config(text)
    with pytest.raises(SettingsError, match=f"config.yaml ?{said}") as told:
        load()
    assert "sk-" not in str(told.value)


def test_a_value_that_holds_itself_is_told(config) -> None:
    config("max_attempts: &again [*again]")
    assert refusal().startswith("setting UNDERSTUDY_MAX_ATTEMPTS is [[[[…]]]] (config.yaml, line 1): ")


def test_a_part_that_holds_nothing_is_told(config) -> None:
    config("broker:\nmax_reasks: 1")
    assert refusal() == (
        "setting UNDERSTUDY_BROKER is None (config.yaml, line 1): is empty; write its settings below it, "
        "indented, or leave it out"
    )


def test_lines_are_known_where_parts_are_shared(config) -> None:
    config(
        "narrative:\n  servers:\n    a: &a {model: m}\n    b:\n      <<: *a\n      model: n\n      modl: 1"
    )
    assert "line 7: there is no setting narrative.servers.b.modl" in refusal()


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_named_file_that_is_none_is_told(environ, name) -> None:
    environ(UNDERSTUDY_CONFIG=name)
    assert refusal() == f"UNDERSTUDY_CONFIG names {name}, which is not a file"


def test_a_part_that_is_no_json_is_told_without_its_keys(environ) -> None:
    environ(UNDERSTUDY_NARRATIVE__OPENAI='{"api_key": "sk-1"')
    said = refusal()
    assert "must hold JSON" in said
    assert '"narrative"' in said
    assert "sk-1" not in said


@pytest.mark.parametrize(
    "text",
    [
        "openais: {api_key: sk-1}",
        "openai: [{API-Key: sk-1}]",
        "openai: {api_key: [sk-1]}",
        "servers: {big: {password: sk-1}}",
        "servers: {big: [{deep: {secret: sk-1}}]}",
    ],
)
def test_a_misplaced_key_is_never_shown(config, text) -> None:
    config(f"narrative: {{{text}}}")
    said = refusal()
    assert "(not shown)" in said or "there is no setting narrative." in said
    assert "sk-1" not in said


def test_an_unknown_stage_is_told_with_the_known_ones() -> None:
    assert stage_names(("audit", "fallback")) == ("audit", "fallback")
    with pytest.raises(SettingsError, match=r"'writer' is unknown; stages are context-build, .*, audit"):
        stage_names(("audit", "writer"))
