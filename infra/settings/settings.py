"""Settings: their names, types and defaults, and how a process reads them.

``config.yaml`` in the working directory (or the file that ``UNDERSTUDY_CONFIG`` names), overridden
by ``UNDERSTUDY_*`` variables (nested with ``__``), plus the plain ``USE_LOCAL_MODEL``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
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
from infra.extensions.installed import Extensions, install
from infra.settings import config_file, shipped
from infra.settings import names as setting_names
from infra.settings.budgets import Budgets
from infra.settings.config_file import ConfigFile, SettingsError
from infra.settings.gateway import GatewaySettings
from infra.settings.narrative import Gguf, Local, Narrative, narrative_with
from infra.settings.quality import QualitySettings
from infra.settings.redaction import SECRET_NAME, redact
from infra.settings.review import ReviewSettings
from infra.settings.telemetry import TelemetrySettings

#: Most unknown names in one message.
_MOST: Final = 10


#: Seconds without an acknowledgement after which another fallback takes over a message (rule 14).
FALLBACK_ACK_WAIT_S: Final = 1.0


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _off_if_empty(value: Any) -> Any:
    """``metrics: null`` of earlier configuration files switches metrics off."""
    return "off" if value is None else value


class ResultCacheSettings(_Part):
    """Real content that is kept for requests whose node shares it."""

    #: Off: every request generates, and nothing is kept.
    enabled: bool = True
    #: Entries kept in the process, beside those that all processes share.
    entries: int = Field(default=1024, ge=1, le=1_000_000)
    #: Bytes that those may take.
    max_bytes: int = Field(default=64 * 1024**2, ge=64 * 1024)


class Broker(_Part):
    """The embedded broker, and the sizes of the streams on any broker."""

    #: Taken by another program, `up` does not start; none: 4222 if it is free, else another, which `up` says.
    port: int | None = Field(default=None, ge=1, le=65535)
    #: When writes reach the disk: ``always``, or a Go duration such as ``2m``.
    sync_interval: str = "always"
    #: Copies of every stream in a cluster.
    replicas: int = Field(default=1, ge=1, le=5)
    #: The embedded broker asks who connects: only stages publish results, and a client without a key has a client's
    #: rights.  Off: everybody on this machine may do everything.
    secured: bool = True
    #: Bytes; EVENTS gets twelve times as much.
    requests_max_bytes: int = Field(default=256 * 1024**2, ge=64 * 1024)


class NatsTls(_Part):
    """TLS towards an external broker; a URL with ``tls://`` asks for it too."""

    #: True: refuse a broker that does not encrypt.
    required: bool = False
    #: Certificates of who signs the broker's; none: the system's.
    ca: Path | None = None
    #: This client's certificate, if the broker requires one.
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
    servers: tuple[str, ...] = Field(default=(), repr=False)
    #: Credentials file (JWT and seed).
    creds: Path | None = None
    #: File with an NKey seed.
    nkey: Path | None = None
    #: Folder that `understudy topology secure` made, with a key for each role; `nkey` and `creds` come first.
    keys: Path | None = None
    #: Prefix of the subjects for answers; none: `_INBOX_ROLE` where the key's file is `understudy-ROLE.nk`.
    inbox_prefix: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]+$")
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

    #: Keep what people and models have written about requests, in the database and in log lines; otherwise hashes and
    #: lengths stand for it. Streams keep it either way while their messages last; see docs/privacy.md.
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
    extensions: ClassVar[Extensions] = Extensions()

    #: Broker to use, or several of one cluster with commas; none: the embedded one, found through
    #: ``<data_dir>/runtime.json``.
    nats_url: str | None = Field(default=None, repr=False)
    nats: NatsAccess = NatsAccess()
    #: What the embedded broker and SQLite keep, and where the running pipeline is noted.
    data_dir: Path = Path(".understudy")
    #: An SQLAlchemy URL; none: SQLite in ``data_dir``.
    database_url: str | None = Field(default=None, repr=False)
    #: False: no model is called, golden samples answer at once.
    use_local_model: bool = Field(
        default=False,
        validation_alias=AliasChoices("USE_LOCAL_MODEL", "UNDERSTUDY_USE_LOCAL_MODEL", "use_local_model"),
    )
    #: Golden samples, and default contents below them.
    samples_dir: Path = shipped.SAMPLES
    #: Node templates: one JSON file for each, named for its id.
    templates_dir: Path = shipped.TEMPLATES
    #: Prompt families beside those that ship: ``<family>/<version>.md`` and ``released.json``.
    prompts_dir: Path | None = None
    #: Worlds: tiers, levels of intimacy, greatest ratings.
    worlds_dir: Path = shipped.WORLDS
    #: Experiments: one TOML file for each, named for it.
    experiments_dir: Path = shipped.EXPERIMENTS
    #: Words that need a rating above `sfw` (TOML file).
    rating_words: Path = shipped.RATING_WORDS
    #: What the scripted provider does (JSON file).
    script: Path | None = None
    narrative: Narrative = Narrative()
    result_cache: ResultCacheSettings = ResultCacheSettings()
    local: Local = Local()
    gguf: Gguf = Gguf()
    broker: Broker = Broker()
    concurrency: Concurrency = Concurrency()
    admission: AdmissionSettings = AdmissionSettings()
    audit: Audit = Audit()
    budgets: Budgets = Budgets()
    quality: QualitySettings = QualitySettings()
    review: ReviewSettings = ReviewSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    gateway: GatewaySettings = GatewaySettings()
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
    #: ``HOST:PORT`` of ``/metrics``, ``/livez`` and ``/readyz``: of all processes together under `up`, of the process
    #: under `run`.  Port 0: a free one.  ``off``: none.
    metrics: Annotated[str, BeforeValidator(_off_if_empty)] = Field(
        default="127.0.0.1:0", pattern=r"^(off|[^:]+:\d{1,5})$"
    )
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
    def sample_folders(self) -> tuple[Path, ...]:
        """Where golden samples are: ``samples_dir``, then the folders of extensions."""
        brought = (kind.samples for kind in self.extensions.kinds.values())
        return (self.samples_dir, *(folder for folder in brought if folder))

    @property
    def prompt_folders(self) -> tuple[Path, ...]:
        """Where prompt families are: those that ship, the folders of extensions, then ``prompts_dir``."""
        brought = (kind.prompts for kind in self.extensions.kinds.values())
        return (shipped.PROMPTS, *(folder for folder in (*brought, self.prompts_dir) if folder))

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
    extensions = install()
    model = _with_kinds(extensions)
    # First of all: pydantic-settings passes over variables that it does not know, and a cap that nobody
    # applies is worse than none.
    unknown = [
        *(
            f"{said.place(path) or said.path}: {text}"
            for path, text in setting_names.unknown_fields(model, said.values)
        ),
        *setting_names.unknown_variables(model, os.environ),
    ]
    if unknown:
        more = [f"and {len(unknown) - _MOST} more"] if len(unknown) > _MOST else []
        # A kind that cannot be used is the likely reason why its provider is no setting.
        raise SettingsError("; ".join([*unknown[:_MOST], *more, *extensions.problems.values()]))
    source = type("_Settings", (model,), {"of_file": said, "extensions": extensions, "__module__": __name__})
    try:
        settings = source(**overrides)
    except ValidationError as error:
        lines = [_explain(item, said, model) for item in error.errors(include_url=False)]
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


def _with_kinds(extensions: Extensions) -> type[Settings]:
    """The settings with a provider for each kind of an extension."""
    kinds = tuple((name, kind.provider) for name, kind in extensions.kinds.items())
    if not kinds:
        return Settings
    narrative = narrative_with(kinds)
    return create_model("Settings", __base__=Settings, narrative=(narrative, narrative()))


def _explain(item: Any, file: ConfigFile, model: type[Settings]) -> str:
    path = tuple(str(part) for part in item["loc"])
    if path[0] in ("USE_LOCAL_MODEL", "UNDERSTUDY_USE_LOCAL_MODEL"):
        path = ("use_local_model", *path[1:])
    name = setting_names.variable(model, path)
    said = item["msg"]
    if item["type"] in ("model_type", "model_attributes_type") and item["input"] is None:
        said = "is empty; write its settings below it, indented, or leave it out"
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
    """The value as people may see it: without the values of secrets, at any depth."""
    if SECRET_NAME.search(name):
        return "(not shown)"
    if not levels and isinstance(value, Mapping | list | tuple):
        return "…"
    if isinstance(value, Mapping):
        inner = cast("Mapping[Any, Any]", value).items()
        return "{" + ", ".join(f"{key!r}: {_shown(str(key), each, levels - 1)}" for key, each in inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(name, each, levels - 1) for each in cast("list[Any]", value)) + "]"
    return repr(redact(name, value)[0] if isinstance(value, str) else value)


def stage_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check stage names from a command line.

    Raises:
        SettingsError: naming the unknown stage and the known ones.
    """
    for name in names:
        if name not in STAGES:
            raise SettingsError(f"stage {name!r} is unknown; stages are {', '.join(STAGES)}")
    return names
