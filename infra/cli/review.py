"""`understudy review`: score results, read what the scores say, and make good results golden samples."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from infra.cli import console, filters
from infra.cli.console import Json
from infra.inspect.review_grouping import ReviewGrouping

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from infra.app.review_desk import ReviewDesk, ReviewItem
    from infra.app.review_promotion import PromotedResult
    from infra.inspect.request_filter import RequestFilter

T = TypeVar("T")
app = typer.Typer(
    no_args_is_help=True,
    help="Human review: score results without knowing what wrote them, and promote good ones to golden samples.",
)
_Item = Annotated[str, typer.Argument(metavar="ITEM", help="The item, as `review next` prints it.")]
_As = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Who reviews; default: this machine's user."),
]


@app.command("next")
@filters.accept()
def next_(
    wanted: RequestFilter,
    pair: Annotated[
        bool, typer.Option("--pair", help="Two results that can be compared, on random sides.")
    ] = False,
    seed: Annotated[
        str | None,
        typer.Option("--seed", help="Draw the order from this text; default: the newest results first."),
    ] = None,
    reviewer: _As = None,
    json: Json = False,
) -> None:
    """Show the next result to review: those with the fewest scores first.

    Nothing tells what wrote it.  The same item comes again until it is scored or skipped.
    """
    from contracts.reviews import ReviewMode

    mode = ReviewMode.PAIR if pair else ReviewMode.SINGLE
    found = _at_desk(reviewer, lambda desk: desk.next(wanted, mode, seed=seed, now_ms=_now_ms()))
    if json:
        console.emit(found)
    elif found.item is None:
        console.note(f"nothing waits for {found.reviewer}; scored: {found.scored:,}")
    else:
        _print_item(found.item, reviewer)
        console.note(f"waiting for {found.reviewer}: {found.waiting:,}; scored: {found.scored:,}")
    if not json and found.gone:
        console.note(f"left out, since the audit does not have their content: {found.gone:,}")
    console.end(console.DONE if found.item else console.FAILED)


@app.command("score")
def score(
    item: _Item,
    score_: Annotated[
        int, typer.Argument(metavar="SCORE", min=1, max=5, help="1, unusable, to 5, excellent.")
    ],
    right: Annotated[
        int | None, typer.Argument(metavar="RIGHT", min=1, max=5, help="Of a pair: the right one's score.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="A word for the report; repeatable.")
    ] = None,
    right_tag: Annotated[
        list[str] | None, typer.Option("--right-tag", metavar="TAG", help="The same about the right one.")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", help="For people.")] = None,
    right_note: Annotated[str | None, typer.Option("--right-note", help="About the right one.")] = None,
    reviewer: _As = None,
    json: Json = False,
) -> None:
    """Score an item, and show what wrote it.

    The tag `personal` keeps a result from being promoted: it names a person, or has a secret.
    """
    if right is None and (right_tag or right_note):
        raise console.Usage("--right-tag and --right-note need the right one's score: ITEM SCORE RIGHT")
    given = [(score_, tag, note)]
    if right is not None:
        given.append((right, right_tag, right_note))
    scores = [_read_score(*each) for each in given]
    _decide(reviewer, item, scores, json=json)


@app.command("skip")
def skip(item: _Item, reviewer: _As = None, json: Json = False) -> None:
    """Skip an item; it does not come again."""
    _decide(reviewer, item, None, json=json)


@app.command("undo")
def undo(reviewer: _As = None, json: Json = False) -> None:
    """Open the item again that was scored or skipped last; its scores are removed."""
    found = _at_desk(reviewer, lambda desk: desk.undo())
    if json:
        console.emit(found)
        return
    _print_item(found, reviewer)


@app.command("report")
@filters.accept(shadows=True)
def report(
    wanted: RequestFilter,
    by: Annotated[
        ReviewGrouping,
        typer.Option(
            "--by", metavar="prompt_version|model|node|kind|arm", help="What results are grouped by."
        ),
    ] = ReviewGrouping.PROMPT_VERSION,
    json: Json = False,
) -> None:
    """Show mean scores, shares of good results, won pairs and the reviewers' agreement."""
    from infra.inspect.review_report import read_report

    found = _with_database(lambda engine: read_report(engine, by, wanted))
    if json:
        console.emit(found)
        return
    from infra.cli.review_table import render_report

    console.listed(render_report(found))


@app.command("candidates")
@filters.accept(shadows=True)
def candidates(wanted: RequestFilter, json: Json = False) -> None:
    """List reviewed results to promote, where golden samples are fewest first, and samples that reviewers find bad."""
    from infra.app.review_candidates import find_candidates

    settings = console.settings()
    found = _with_database(lambda engine: find_candidates(engine, settings, wanted))
    if json:
        console.emit(found)
        return
    from infra.cli.review_table import render_candidates

    console.listed(render_candidates(found))


@app.command("promote")
def promote(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="The request's id.")],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the sample: `sample_NAME.json`; default: kind and hash."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag", metavar="TAG", help="Requests with this tag prefer it; beside those of its own request."
        ),
    ] = None,
    samples_dir: Annotated[
        Path | None, typer.Option("--samples-dir", help="Folder; default: the configured one.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything; write nothing.")] = False,
    json: Json = False,
) -> None:
    """Write a well reviewed result as a golden sample, with its sidecar; it must pass `samples check`.

    Stages read samples when they start: it stands in once the stage fallback is started again.
    """
    from infra.app import review_promotion
    from infra.stores.changes import RecordedChange, add_change

    settings = console.settings()

    def work(engine: Engine) -> PromotedResult:
        found = review_promotion.promote(
            engine, settings, request_id, name=name, tags=tag or (), folder=samples_dir, dry_run=dry_run
        )
        if not dry_run:
            change = RecordedChange(
                at_ms=_now_ms(), via="command", action="reviews.promote", target=request_id
            )
            add_change(engine, change)
        return found

    found = _with_database(work)
    if json:
        console.emit(found)
        return
    console.people().print(
        f"{found.name} in {found.folder}: {found.kind}, {found.rating}, mean score {found.mean_score:g} of "
        f"{found.reviewers} {'reviewer' if found.reviewers == 1 else 'reviewers'}",
        markup=False,
        soft_wrap=True,
    )
    console.note("nothing is written (--dry-run)" if dry_run else found.next)


def _decide(reviewer: str | None, item: str, scores: list[Any] | None, *, json: bool) -> None:
    keeps_words = console.settings().audit.store_prompts
    found = _at_desk(
        reviewer, lambda desk: desk.decide(item, scores, keeps_words=keeps_words, now_ms=_now_ms())
    )
    if json:
        console.emit(found)
        return
    from infra.cli.review_table import render_outcome

    console.listed(render_outcome(found))


def _read_score(score: int, tags: list[str] | None, note: str | None) -> Any:
    from pydantic import ValidationError

    from contracts.reviews import ReviewScore

    try:
        return ReviewScore(score=score, tags=tuple(tags or ()), note=note)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = first["loc"][0]
        if field == "tags":
            raise console.Usage(
                f"--tag {first['input']!r}: at most 8 tags, each of small letters, digits and -, at most 32 characters"
            ) from None
        raise console.Usage(f"--{field}: {first['msg']}") from None


def _print_item(item: ReviewItem, reviewer: str | None) -> None:
    import shlex

    from rich.text import Text

    out = console.people()
    names = ("left", "right") if len(item.sides) > 1 else ("",)
    for name, side in zip(names, item.sides, strict=True):
        out.print(Text.assemble((f"{name} ".lstrip(), "bold"), (item.kind, "bold")), soft_wrap=True)
        if side.wish:
            out.print(Text(f"asked for: {side.wish}", style="dim"), soft_wrap=True)
        console.raw(side.content)
    scores = "LEFT RIGHT" if len(item.sides) > 1 else "SCORE"
    named = "" if reviewer is None else f" --as {shlex.quote(reviewer)}"
    console.note(f"understudy review score {item.item} {scores}{named}")
    console.note(f"understudy review skip {item.item}{named}")


def _at_desk(reviewer: str | None, work: Callable[[ReviewDesk], T]) -> T:
    from infra.app.review_desk import ReviewDesk

    name = _read_name(reviewer)
    return _with_database(lambda engine: work(ReviewDesk(engine, name)))


def _read_name(reviewer: str | None) -> str:
    from pydantic import TypeAdapter, ValidationError

    from contracts.reviews import ReviewerName
    from infra.app.review_desk import read_user_name

    try:
        return TypeAdapter[str](ReviewerName).validate_python(
            read_user_name() if reviewer is None else reviewer
        )
    except ValidationError:
        raise console.Usage("--as: give a name of at most 100 characters, in one line") from None


def _with_database(work: Callable[[Engine], T]) -> T:
    """Use the audit's database; a table that it lacks is made.

    Raises:
        UnderstudyError: there is none, or it cannot be used; the text says why and what to do.
    """
    from infra.cli import audit_database
    from infra.stores import database

    def migrated(engine: Engine) -> T:
        database.migrate(engine)
        return work(engine)

    return audit_database.read(migrated)


def _now_ms() -> int:
    return round(time.time() * 1000)
