"""Which commands are there?

Every command imports what it needs when it runs, so that ``understudy --help`` is quick.
"""

from __future__ import annotations

from typing import Final

import typer

from infra.cli import (
    audit,
    budgets,
    cache,
    checks,
    dead,
    prompts,
    request,
    rules,
    run,
    seed,
    tail,
    templates,
    validate,
    warm,
    why,
)

app: Final = typer.Typer(
    name="understudy",
    help="A generation pipeline on NATS JetStream: every request ends in exactly one labelled result.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 the request or check failed, 2 wrong usage, 3 cannot reach the broker.",
)

_RUN: Final = "Run the pipeline"
_ASK: Final = "Ask and watch"
_DESIGN: Final = "Configure nodes"
_KEEP: Final = "Operate"

app.command("demo", rich_help_panel=_RUN)(run.demo)
app.command("up", rich_help_panel=_RUN)(run.up)
app.command("run", rich_help_panel=_RUN)(run.run)
app.command("request", rich_help_panel=_ASK)(request.request)
app.command("warm", rich_help_panel=_ASK)(warm.warm)
app.command("tail", rich_help_panel=_ASK)(tail.tail)
app.command("why", rich_help_panel=_ASK)(why.why)
app.command("cancel", rich_help_panel=_ASK)(why.cancel)
app.command("validate", rich_help_panel=_DESIGN)(validate.validate)
app.add_typer(rules.app, name="rules", rich_help_panel=_DESIGN)
app.add_typer(templates.app, name="templates", rich_help_panel=_DESIGN)
app.add_typer(prompts.app, name="prompts", rich_help_panel=_DESIGN)
app.command("seed", rich_help_panel=_DESIGN)(seed.seed)
app.add_typer(dead.app, name="dead", rich_help_panel=_KEEP)
app.add_typer(budgets.app, name="budgets", rich_help_panel=_KEEP)
app.add_typer(audit.app, name="audit", rich_help_panel=_KEEP)
app.add_typer(cache.app, name="cache", rich_help_panel=_KEEP)
app.add_typer(checks.samples, name="samples", rich_help_panel=_KEEP)
app.add_typer(checks.topology, name="topology", rich_help_panel=_KEEP)
app.command("doctor", rich_help_panel=_KEEP)(checks.doctor)
app.command(
    "bench",
    rich_help_panel=_KEEP,
    # Its own options are read by its own application, which is loaded only when it is asked for.
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(run.bench)
