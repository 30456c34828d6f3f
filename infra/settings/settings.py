"""Which settings exist, what are their defaults, and what did this process get?

``config.yaml`` in the working directory (or the file that ``UNDERSTUDY_CONFIG`` names), overridden
by ``UNDERSTUDY_*`` variables (nested with ``__``), plus the plain ``USE_LOCAL_MODEL``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as NoJson

from contracts.pipeline import STAGE_OF, STAGES
from contracts.request import DEFAULT_DEADLINE_MS
from infra.settings import config_file, shipped
from infra.settings import names as setting_names
from infra.settings.budgets import Budgets
from infra.settings.config_file import ConfigFile, SettingsError

#: Unknown names that are told at once.
_MOST: Final = 10
#: Settings whose value is never shown, not even in an error; misspelt ones too.
_SECRET: Final = re.compile(r"key|secret|password", re.IGNORECASE)


#: Seconds without an acknowledgement after which another fallback takes over a message (rule 14).
FALLBACK_ACK_WAIT_S: Final = 1.0


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelDefaults(_Part):
    """How a stage asks its provider when the request does not say."""

    #: 0 always takes the likeliest word.
    temperature: float = Field(ge=0, le=2)
    #: Share of the likeliest words that are drawn from.
    top_p: float = Field(default=1.0, gt=0, le=1)
    #: Longest answer.
    max_tokens: int = Field(ge=1, le=32_000)
    #: Seconds for one provider call.
    timeout: float = Field(gt=0, le=3600)


class Defaults(_Part):
    """Defaults of the two model stages."""

    freeform: ModelDefaults = ModelDefaults(temperature=0.8, top_p=0.95, max_tokens=1500, timeout=180)
    structuring: ModelDefaults = ModelDefaults(temperature=0.0, max_tokens=4000, timeout=180)


def _route(value: Any) -> Any:
    """A name, or a chain that names every link once.

    Raises:
        ValueError: for anything else, an empty chain, and one that asks a provider twice.
    """
    if isinstance(value, str):
        return value
    # Before pydantic tries either type: it would name the two as if they were settings.
    chain = tuple(cast("list[Any]", value)) if isinstance(value, list | tuple) else ()
    if not chain or not all(isinstance(name, str) for name in chain) or len(set(chain)) < len(chain):
        raise ValueError(
            "write a provider's name, or a chain that names at least one provider, and each of them once"
        )
    return chain


#: A provider's name, or a chain of names that are asked in turn.
Route = Annotated[str | tuple[str, ...], BeforeValidator(_route)]


class Providers(_Part):
    """Which provider writes which kind: local, openai, scripted, one of the servers, or a chain ``[a, b]``."""

    layout: Route = "local"
    plot: Route = "local"
    scene: Route = "local"
    dialogue: Route = "local"
    transition: Route = "local"
    custom: Route = "local"


class OpenAIServer(_Part):
    """A server that speaks the OpenAI protocol: llama.cpp, Ollama, vLLM, a hosted one."""

    #: Address of its API; most end in ``/v1``.
    base_url: str = Field(default="http://127.0.0.1:8080/v1", pattern=r"^https?://")
    #: API key sent to the server; none: no key is sent.
    api_key: SecretStr | None = None
    #: The model's name on that server; a server without it is not asked.
    model: str | None = None
    #: Seconds for one call, where the call itself allows more.
    timeout: float = Field(default=180.0, gt=0, le=3600)
    #: Structured output: ``auto`` starts with ``json_schema`` and steps down to what the server takes.
    mode: Literal["auto", "json_schema", "json_object_schema", "json_object", "prompt"] = "auto"
    #: Money for 1,000 prompt tokens, used where the server's answer names no cost.
    price_prompt: float | None = Field(default=None, ge=0)
    #: Money for 1,000 tokens of the answer.
    price_completion: float | None = Field(default=None, ge=0)


class BreakerSettings(_Part):
    """When a provider that keeps failing is left alone; each one has a breaker of its own."""

    #: Failures in a row (no connection, no answer in time, an error of the server) that open it.
    failures: int = Field(default=5, ge=1, le=1000)
    #: Seconds that it stays open before one call tries again.
    cooldown: float = Field(default=30.0, gt=0, le=3600)


class ResponseCache(_Part):
    """Answers of providers that are used again for the same prompt, parameters and seed."""

    #: Off: every request asks a provider.
    enabled: bool = True
    #: Answers kept in the process.
    entries: int = Field(default=256, ge=1, le=100_000)
    #: Folder of a second layer that outlives the process; none: no such layer.
    directory: Path | None = None
    #: Bytes that the folder may take; the longest unused are removed first.
    max_bytes: int = Field(default=256 * 1024**2, ge=64 * 1024)


class ResultCache(_Part):
    """Real content that is kept for requests whose node shares it."""

    #: Off: every request generates, and nothing is kept.
    enabled: bool = True
    #: Entries kept in the process, beside those that all processes share.
    entries: int = Field(default=1024, ge=1, le=1_000_000)
    #: Bytes that those may take.
    max_bytes: int = Field(default=64 * 1024**2, ge=64 * 1024)


class Narrative(_Part):
    """Routing and defaults of generation."""

    #: More servers like ``narrative.openai``, by the name that routes use.
    servers: dict[str, OpenAIServer] = {}
    providers: Providers = Providers()
    openai: OpenAIServer = OpenAIServer()
    breaker: BreakerSettings = BreakerSettings()
    response_cache: ResponseCache = ResponseCache()
    defaults: Defaults = Defaults()


class Local(_Part):
    """The model on this machine."""

    #: ``house`` (the one that comes along), a folder with safetensors, or a hub id.
    model: str = "house"
    #: ``auto``: a GPU if there is one; else ``cpu``, ``cuda`` or ``cuda:N``.
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    #: ``auto``: bfloat16 where the device multiplies it, else float32.
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    #: Requests that are written at once.
    rows: int = Field(default=16, ge=1, le=512)
    #: Tokens of prompt and answer together; at most the model's own window.
    max_len: int = Field(default=2048, ge=16, le=1_000_000)
    #: Requests that may wait beside those.
    queue: int = Field(default=256, ge=1, le=100_000)
    #: The same bits whatever else is being written; costs nearly half under load, 70 % when alone.
    strict: bool = False
    #: Drafts of prose that are written at most, until one has every word that the wish names; the best is
    #: taken.  None: 8 by the house model, 1 by others.
    drafts: int | None = Field(default=None, ge=1, le=16)
    #: Words that the wish names weigh more in prose while they are missing.  None: with the house model.
    guided: bool | None = None
    #: Threads of torch; none: what torch chooses.
    threads: int | None = Field(default=None, ge=1, le=1024)


class Broker(_Part):
    """The embedded broker, and the sizes of the streams on any broker."""

    #: Taken by another program, `up` does not start; none: 4222 if it is free, else another, which `up` says.
    port: int | None = Field(default=None, ge=1, le=65535)
    #: When writes reach the disk: ``always``, or a Go duration such as ``2m``.
    sync_interval: str = "always"
    #: Copies of every stream in a cluster.
    replicas: int = Field(default=1, ge=1, le=5)
    #: Bytes; EVENTS gets twelve times as much.
    requests_max_bytes: int = Field(default=256 * 1024**2, ge=64 * 1024)


class NatsTls(_Part):
    """TLS towards an external broker; a URL with ``tls://`` asks for it too."""

    #: True: refuse a broker that does not encrypt.
    required: bool = False
    #: Certificates of who signs the broker's; none: the system's.
    ca: Path | None = None
    #: This client's certificate, where the broker wants one.
    cert: Path | None = None
    #: Its key, where the certificate's file does not hold it.
    key: Path | None = None
    #: Name in the broker's certificate, where it is not the URL's.
    hostname: str | None = None

    @property
    def wanted(self) -> bool:
        """Is anything of it set?"""
        return self.required or any((self.ca, self.cert, self.hostname))


class NatsAccess(_Part):
    """How an external broker is reached."""

    #: URLs of a cluster's servers; another way to write ``nats_url`` with commas.
    servers: tuple[str, ...] = ()
    #: Credentials file (JWT and seed).
    creds: Path | None = None
    #: File with an NKey seed.
    nkey: Path | None = None
    tls: NatsTls = NatsTls()


class AdmissionSettings(_Part):
    """How many requests may be open at once; what comes beyond is refused by the broker when it is published."""

    #: Off: everything is accepted while REQUESTS has room.
    enabled: bool = True
    #: Open requests at most; fewer while answers come late.
    most: int = Field(default=6000, ge=16, le=1_000_000)
    #: Open requests that are always let in, however late answers come.
    least: int = Field(default=256, ge=1, le=1_000_000)


class Concurrency(_Part):
    """How many messages a stage works on at once, per process and stream."""

    context_build: int = Field(default=128, ge=1, le=10_000)
    freeform_gen: int = Field(default=64, ge=1, le=10_000)
    structuring: int = Field(default=64, ge=1, le=10_000)
    validate_repair: int = Field(default=128, ge=1, le=10_000)
    fallback: int = Field(default=128, ge=1, le=10_000)
    audit: int = Field(default=2048, ge=1, le=10_000)

    def of(self, stage: str) -> int:
        """The bound of one stage."""
        return int(getattr(self, stage.replace("-", "_")))


class Audit(_Part):
    """What the audit keeps."""

    #: Keep prompts in the database; otherwise their hashes alone.
    store_prompts: bool = True
    #: Events folded in one transaction.
    batch: int = Field(default=2000, ge=1, le=10_000)
    #: Seconds between two looks of the sweeper.
    sweep_every: float = Field(default=60.0, gt=0)


class Settings(BaseSettings):
    """Everything that can be set; read once, frozen, passed down."""

    model_config = SettingsConfigDict(
        env_prefix="UNDERSTUDY_",
        env_nested_delimiter="__",
        # One value of a part leaves the others what they are by default.
        nested_model_default_partial_update=True,
        allow_inf_nan=False,
        # Names are looked at before: pydantic-settings passes over variables that it does not know.
        extra="forbid",
        frozen=True,
    )
    of_file: ClassVar[ConfigFile] = ConfigFile()

    #: Broker to use, or several of one cluster with commas; none: the embedded one, found through
    #: ``<data_dir>/runtime.json``.
    nats_url: str | None = None
    nats: NatsAccess = NatsAccess()
    #: What the embedded broker and SQLite keep, and where the running pipeline is noted.
    data_dir: Path = Path(".understudy")
    #: An SQLAlchemy URL; none: SQLite in ``data_dir``.
    database_url: str | None = None
    #: False: no model is called, golden samples answer at once.
    use_local_model: bool = Field(
        default=False,
        validation_alias=AliasChoices("USE_LOCAL_MODEL", "UNDERSTUDY_USE_LOCAL_MODEL", "use_local_model"),
    )
    #: Golden samples, and default contents below them.
    samples_dir: Path = shipped.SAMPLES
    #: Node templates: one JSON file for each, named for its id.
    templates_dir: Path = shipped.TEMPLATES
    #: Worlds: tiers, levels of intimacy, greatest ratings.
    worlds_dir: Path = shipped.WORLDS
    #: Words that need a rating above `sfw` (TOML file).
    rating_words: Path = shipped.RATING_WORDS
    #: What the scripted provider does (JSON file).
    script: Path | None = None
    narrative: Narrative = Narrative()
    result_cache: ResultCache = ResultCache()
    local: Local = Local()
    broker: Broker = Broker()
    concurrency: Concurrency = Concurrency()
    admission: AdmissionSettings = AdmissionSettings()
    audit: Audit = Audit()
    budgets: Budgets = Budgets()
    #: Deadline of requests that name none, ms.
    deadline_ms: int = Field(default=DEFAULT_DEADLINE_MS, ge=1, le=86_400_000)
    #: Seconds without an acknowledgement after which the broker gives a message to another worker.
    ack_wait: float = Field(default=10.0, ge=1.0)
    #: Tries of a retryable error before the request fails.
    max_attempts: int = Field(default=5, ge=1, le=20)
    #: Times that structuring is asked again after an invalid document.
    max_reasks: int = Field(default=1, ge=0, le=5)
    #: Scenes of one plot that are under way at once.
    scenes_in_flight: int = Field(default=4, ge=1, le=40)
    #: Take a document in which a field had no value: it has an empty text then, and the receipt names it.
    accept_filled: bool = False
    #: Seconds that a stopping stage waits for what it holds before it hands it back.
    grace: float = Field(default=10.0, ge=0)
    #: Least severe lines that are written; ``debug`` has one line per message.
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    #: ``HOST:PORT`` where Prometheus finds ``/metrics`` of the process that calls models; none: nowhere.
    metrics: str | None = Field(default=None, pattern=r"^[^:]+:\d{1,5}$")
    #: Lines for people, or one JSON object per line.
    log_format: Literal["console", "json"] = "console"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file."""
        del dotenv_settings, file_secret_settings
        return (init_settings, env_settings, InitSettingsSource(settings_cls, dict(cls.of_file.values)))

    def ack_wait_of(self, stage: str) -> float:
        """Seconds after which a stage's message goes to another worker; short where answers wait for it."""
        return min(self.ack_wait, FALLBACK_ACK_WAIT_S) if STAGE_OF[stage].short_leases else self.ack_wait

    @property
    def database(self) -> str:
        """The database's SQLAlchemy URL."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'understudy.db'}"


def load(**overrides: Any) -> Settings:
    """Read the settings of this process.

    Raises:
        SettingsError: naming the setting, its value and what is allowed; or a name that is no setting, with
            the one that was probably meant.
    """
    config = Path(os.environ.get("UNDERSTUDY_CONFIG", "config.yaml"))
    found = config if config.is_file() else None
    if found is None and "UNDERSTUDY_CONFIG" in os.environ:
        raise SettingsError(f"UNDERSTUDY_CONFIG names {config}, which is not a file")
    said = config_file.read(found)
    # First of all: pydantic-settings passes over variables that it does not know, and a cap that nobody
    # applies is worse than none.
    unknown = [
        *(
            f"{said.place(path) or said.path}: {text}"
            for path, text in setting_names.unknown_fields(Settings, said.values)
        ),
        *setting_names.unknown_variables(Settings, os.environ),
    ]
    if unknown:
        more = [f"and {len(unknown) - _MOST} more"] if len(unknown) > _MOST else []
        raise SettingsError("; ".join([*unknown[:_MOST], *more]))
    source = type("_Settings", (Settings,), {"of_file": said, "__module__": __name__})
    try:
        settings = source(**overrides)
    except ValidationError as error:
        lines = [_explain(item, said) for item in error.errors(include_url=False)]
        raise SettingsError("; ".join(lines)) from None
    except NoJson as error:
        # The value is not shown: it may hold keys.
        raise SettingsError(
            "a variable that sets a list or a whole part of the settings must hold JSON, for instance "
            f"UNDERSTUDY_NATS__SERVERS='[\"nats://a:4222\"]': {error} "
            f"({error.__cause__})"
        ) from None
    if settings.nats_url is None and settings.nats.servers:
        return settings.model_copy(update={"nats_url": ",".join(settings.nats.servers)})
    return settings


def _explain(item: Any, file: ConfigFile) -> str:
    path = tuple(str(part) for part in item["loc"])
    if path[0] in ("USE_LOCAL_MODEL", "UNDERSTUDY_USE_LOCAL_MODEL"):
        path = ("use_local_model", *path[1:])
    name = setting_names.variable(Settings, path)
    said = item["msg"]
    if item["type"] in ("model_type", "model_attributes_type") and item["input"] is None:
        said = "holds nothing; write its settings below it, indented, or leave it out"
    elif item["type"] == "extra_forbidden":
        # Inside a variable that holds a whole part as JSON.
        said = "there is no such setting; docs/settings.md lists all"
    else:
        said = (
            said.removeprefix("Value error, ")
            .partition(", unable to")[0]
            .replace("Input should be", "must be")
        )
    where = file.place(path)
    # What a variable says counts before the file.
    from_file = where and not any(each.upper().startswith(name) for each in os.environ)
    return f"setting {name} is {_shown(path[-1], item['input'])}{f' ({where})' if from_file else ''}: {said}"


def _shown(name: str, value: Any, levels: int = 4) -> str:
    """The value as people may see it: without what stands under a secret's name, however deep."""
    if _SECRET.search(name):
        return "(not shown)"
    if not levels and isinstance(value, Mapping | list | tuple):
        return "…"
    if isinstance(value, Mapping):
        inner = cast("Mapping[Any, Any]", value).items()
        return "{" + ", ".join(f"{key!r}: {_shown(str(key), each, levels - 1)}" for key, each in inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown("", each, levels - 1) for each in cast("list[Any]", value)) + "]"
    return repr(value)


def stage_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check stage names from a command line.

    Raises:
        SettingsError: naming the unknown stage and the known ones.
    """
    for name in names:
        if name not in STAGES:
            raise SettingsError(f"stage {name!r} is unknown; stages are {', '.join(STAGES)}")
    return names
