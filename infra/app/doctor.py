"""Doctor: what is installed, reachable and in order, and what to do about the rest."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contracts.errors import UnderstudyError
from contracts.nodes.node import Rating
from infra.app import broker_checks, host_checks, model_checks
from infra.app.doctor_check import DoctorCheck, Severity, order, row, row_of_error
from infra.host import extras
from infra.providers import route_checks, routing
from infra.providers.local_model import model_folder

if TYPE_CHECKING:
    from infra.app.model_checks import KindRow, ModelRow
    from infra.settings.settings import Settings

#: Modules of the extra ``local``.
MODEL_MODULES: Final = ("torch", "transformers", "accelerate", "llguidance")
#: What to do about files that cannot be used, by what they are.
_FIXES: Final = {
    "golden samples": "run 'understudy samples check'",
    "templates": "run 'understudy templates check'",
    "worlds": "run 'understudy worlds check'",
    "experiments": "run 'understudy experiments check'",
    "rating words": "correct the file, docs/ratings.md",
    "prompts": "run 'understudy prompts ls'",
    "rubric": "run 'understudy rubrics check'",
    "enhancement": "correct narrative.enhancement in the settings, docs/evaluation.md",
}


async def examine(settings: Settings, *, ask: bool = False) -> tuple[DoctorCheck, ...]:
    """Every check, the worst first; a part that cannot be examined is a row, not an exception.

    Args:
        settings: this process's settings.
        ask: also ask each provider of a route for a few tokens.
    """
    return order(
        (
            host_checks.python(sys.version_info[:3]),
            *host_checks.packages(),
            host_checks.broker_program(),
            *await broker_checks.examine(settings),
            await asyncio.to_thread(_database, settings.database),
            *await asyncio.to_thread(_files, settings),
            await asyncio.to_thread(_model, settings),
            *await _providers(settings, ask=ask),
            host_checks.gpu(),
            host_checks.disk(settings),
            await asyncio.to_thread(host_checks.data_folder, settings),
            *await asyncio.to_thread(host_checks.secret_files, settings),
        )
    )


def _model(settings: Settings) -> DoctorCheck:
    routes = (*routing.chains(settings), *routing.helper_chains(settings))
    routed = any("local" in names for _, names in routes)
    return model(
        wanted=settings.use_local_model and routed,
        missing=[name for name in MODEL_MODULES if find_spec(name) is None],
        path=model_folder(settings.local),
    )


async def _providers(settings: Settings, *, ask: bool) -> tuple[DoctorCheck, ...]:
    """What the routes name, whether each server of them answers, and whether each kind fits its window."""
    if not settings.use_local_model:
        off = "model calls are turned off: golden samples answer; USE_LOCAL_MODEL=true turns them on"
        return (row("providers", "info", off),)
    mistakes = route_checks.check(settings)
    if mistakes:
        fix = "correct the route in the settings (docs/models.md); until then 'understudy up' does not start"
        return tuple(row_of_error("providers", "error", why, otherwise=fix) for why in mistakes)
    rows = [row("providers", "ok", "every route has a usable provider")]
    report = await model_checks.examine(settings, call="every" if ask else "none")
    servers = routing.servers(settings)
    rows += [provider(each, asked=ask) for each in report.models if ask or each.provider in servers]
    return (*rows, *windows(report.kinds))


def provider(found: ModelRow, *, asked: bool) -> DoctorCheck:
    """Whether a provider can answer.

    Args:
        found: the provider's check.
        asked: its model was called.
    """
    check = f"provider {found.provider}"
    if not found.ok:
        fix = (
            found.fix
            or f"see 'understudy models check', and the route of {', '.join(found.kinds)} in the settings"
        )
        return row(check, "error" if asked else "warning", found.detail, fix)
    if found.fix:
        return row(check, "warning", found.detail, found.fix)
    schemas = f"asked with a small call: {found.schemas}" if asked and found.schemas else ""
    return row(check, "ok", "; ".join(filter(None, (found.detail, schemas))) or found.place)


def windows(kinds: tuple[KindRow, ...]) -> tuple[DoctorCheck, ...]:
    """Kinds that do not fit the window of a model, or of whose drafts it holds a part; one row where all fit."""
    rows = [
        row(
            f"window {each.kind}",
            "error" if each.fits == "no" else "info",
            f"{each.provider}: {each.detail}",
            each.fix,
        )
        for each in kinds
        if each.fits in ("no", "tight")
    ]
    if not rows:
        unknown = dict.fromkeys(each.provider for each in kinds if each.fits == "unknown")
        rest = f"; not known for {', '.join(unknown)}" if unknown else ""
        rows.append(row("windows", "ok", f"prompt and answer of each kind fit{rest}"))
    return tuple(rows)


def model(*, wanted: bool, missing: list[str], path: str) -> DoctorCheck:
    """The extra that runs a local model, and the model's files."""
    severity: Severity = "error" if wanted else "info"
    if missing:
        detail = f"not installed: {', '.join(missing)}"
        return row("local model", severity, detail, extras.install_command("local") if wanted else "")
    from infra.engine.files import Unloadable, weights  # noqa: PLC0415 - needs the extra

    folder = Path(path)
    if not folder.is_dir() and "/" in path and not folder.is_absolute():
        return row("local model", "ok", f"{path}, from the hub when it is first used")
    try:
        files = weights(folder)
    except Unloadable as error:
        return row("local model", severity, str(error), "set UNDERSTUDY_LOCAL__MODEL to a model's folder")
    size = sum(file.stat().st_size for file in files) / 1024**2
    return row("local model", "ok", f"{folder}: {size:.1f} MiB of weights")


def _database(url: str) -> DoctorCheck:
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError  # noqa: PLC0415 - slow to import, for this row alone

    from infra.stores import database, remedies  # noqa: PLC0415 - as above

    try:
        state = database.migration_state(url)
    except UnderstudyError as error:
        return row_of_error("database", "warning", error, otherwise="correct UNDERSTUDY_DATABASE_URL")
    except SQLAlchemyError as error:
        why = str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error)
        return row(
            "database", "warning", f"cannot be opened: {why.splitlines()[0]}", remedies.remedy(url, error)
        )
    if state.startswith("is empty"):
        return row("database", "info", "is empty: the audit stage creates its tables when it starts")
    if state != "current":
        fix = "run 'understudy up' or 'understudy run audit': the audit stage migrates it when it starts"
        return row("database", "warning", state, fix)
    return row("database", "ok", "reachable, its tables are current")


def _files(settings: Settings) -> tuple[DoctorCheck, ...]:
    from infra.app import start_checks  # noqa: PLC0415 - jsonschema and the content kinds, for these rows alone

    rows = [
        row(each.part, "ok", each.detail)
        if each.ok
        else row(
            each.part,
            "error",
            each.detail,
            _FIXES.get(each.part, "correct or uninstall the package that brings it"),
        )
        for each in start_checks.look(settings)
    ]
    return (*rows, *uncovered(settings))


def uncovered(settings: Settings) -> tuple[DoctorCheck, ...]:
    """Content kinds that no golden sample covers: a placeholder answers there."""
    from infra.stores import samples  # noqa: PLC0415 - the content kinds, for this row alone

    try:
        store = samples.load(*settings.sample_folders)
    except UnderstudyError:
        # The row of the golden samples reports it.
        return ()
    without = [
        kind
        for kind in samples.MODELS
        if not any(sample.rating is Rating.SFW for sample in store.of_kind(kind))
    ]
    if not without:
        return (row("sample coverage", "ok", "every kind has a golden sample rated sfw"),)
    fix = f"add a sample_*.json for each to {settings.samples_dir} (docs/testing.md)"
    return (
        row(
            "sample coverage",
            "warning",
            f"no golden sample rated sfw for {', '.join(without)}: a placeholder answers",
            fix,
        ),
    )
