"""`understudy result` and `understudy wait`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli import console
from infra.cli.console import Json
from infra.cli.picture import FileOfPicture, PictureFile, PictureThemeName, picture_file
from infra.cli.why import check_id, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from understudy_client.log import StoredMessage
    from understudy_client.result import Result as ClientResult

    from contracts.events import Result
    from infra.app.pipeline_client import PipelineClient
    from infra.settings.settings import Settings

_Id = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]
_Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="30s",
        help="Longest wait; default: 15 s beyond the request's deadline, or beyond the usual one if the id is unknown.",
    ),
]


def result(
    request_id: _Id,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the result if it does not exist yet.")
    ] = False,
    timeout: _Timeout = None,
    picture: PictureFile = None,
    theme: PictureThemeName = None,
    json: Json = False,
) -> None:
    """Print a result's content as JSON; with --json, the whole result on one line; with --picture, draw it into a file.

    The status goes to standard error.  The exit status is that of `request --wait`.  A result that the event log no
    longer has comes from the audit.
    """
    if timeout is not None and not wait:
        raise console.Usage("--timeout has no effect without --wait")
    file = picture_file(picture, theme)
    _print(request_id, timeout, wait=wait, json=json, label=console.errors, file=file)


def wait(request_id: _Id, timeout: _Timeout = None, json: Json = False) -> None:
    """Wait for a request's result and print it, as `request --wait` does; the request may be published later."""
    _print(request_id, timeout, wait=True, json=json, label=console.people)


def _print(
    request_id: str,
    timeout: str | None,
    *,
    wait: bool,
    json: bool,
    label: Callable[[], Console],
    file: FileOfPicture | None = None,
) -> None:
    check_id(request_id)
    seconds = None if timeout is None else console.duration(timeout)

    async def work() -> int:
        settings = console.settings()
        async with console.connect(settings, waits=wait) as client:
            # The whole result has its content, unless that is large.
            found = await _found(
                client, settings, request_id, seconds, wait=wait, content=not json or file is not None
            )
            if found is None:
                return console.FAILED
            shown, content = found
            await _note_revision(client, request_id)
        if file is not None:
            file.write(shown, content)
        print_result(shown, None if file is not None else content, json=json, label=label)
        return status_of(shown)

    console.run(work())


async def _note_revision(client: PipelineClient, request_id: str) -> None:
    """Point to the content that a replay brought after the result."""
    from contracts import pipeline, revisions, subjects
    from contracts.events import Revised
    from infra.inspect import record
    from infra.nats import log

    entry = await log.last(client.wire, pipeline.EVENTS, subjects.any_kind("revised", request_id))
    body = None if entry is None else record.decode(entry).body
    source = revisions.source(request_id, body.revised_by) if isinstance(body, Revised) else None
    if source is not None:
        console.note(f"real content came after this result: `understudy result {source}` prints it")


def print_result(
    found: Result, content: Any, *, json: bool, label: Callable[[], Console] = console.people
) -> None:
    """Print a result: its status, and its content below, raw and whole.

    Args:
        found: the result.
        content: its content; not needed for JSON.
        json: print the result alone, as JSON.
        label: where the status is printed.
    """
    if json:
        console.emit(found)
        return
    from infra.cli import show
    from infra.cli.show_helpers import helper_lines

    out = label()
    show.result(out, found)
    for line in helper_lines(found.meta.evaluation, found.meta.enhancement):
        out.print(line, soft_wrap=True)
    if content is not None:
        console.raw(content)


def status_of(found: Result) -> int:
    """The exit status for a result."""
    from contracts.result import USABLE

    return console.DONE if found.status in USABLE else console.FAILED


async def _found(
    client: PipelineClient,
    settings: Settings,
    request_id: str,
    seconds: float | None,
    *,
    wait: bool,
    content: bool,
) -> tuple[Result, Any] | None:
    """The result and, if it is needed, its content; ``None`` after saying why there is no result."""
    from infra.app.pipeline_client import checked

    found = await client.look(request_id)
    if found is None:
        owner = await client.owner(request_id)
        if owner is None:
            archived = await asyncio.to_thread(_archived, settings, request_id)
            if archived is not None:
                console.note(f"{request_id} is no longer in the event log; this is from the audit")
                return archived, await _content(client, archived) if content else None
            found = await _await_unknown(client, settings, request_id, seconds) if wait else None
            if found is None:
                console.complain(unknown(request_id, client.url))
                return None
        elif not wait:
            console.complain(
                f"{request_id} has no result yet; --wait waits for it, `understudy why {request_id}` shows how far it is"
            )
            return None
        else:
            timeout_s = _timeout_s(client, owner) if seconds is None else seconds
            found = await client.wait(request_id, timeout_s=timeout_s)
    return checked(found), await client.document(found) if content else None


async def _await_unknown(
    client: PipelineClient, settings: Settings, request_id: str, seconds: float | None
) -> ClientResult | None:
    """The result of a request that may yet be published; ``None``: it was not.

    Raises:
        NoResult: it was, and has no result in time.
    """
    from understudy_client.errors import NoResult
    from understudy_client.timeouts import MARGIN_S

    timeout_s = settings.deadline_ms / 1000 + MARGIN_S if seconds is None else seconds
    console.note(
        f"no request {request_id} in the event log at {client.url} yet; waiting up to {timeout_s:g} s"
    )
    try:
        return await client.wait(request_id, timeout_s=timeout_s)
    except NoResult:
        owner = await client.owner(request_id)
        if owner is None:
            return None
        if seconds is not None:
            raise
        # It was published meanwhile, and has its own deadline.
        return await client.wait(request_id, timeout_s=_timeout_s(client, owner))


async def _content(client: PipelineClient, archived: Result) -> Any:
    """The content of a result from the audit; large content is in the object store."""
    import msgspec
    import understudy_client

    return await client.document(msgspec.convert(msgspec.to_builtins(archived), understudy_client.Result))


def _archived(settings: Settings, request_id: str) -> Result | None:
    from infra.inspect import archive

    return console.read_audit(settings, lambda engine: archive.find_result(engine, request_id))


def _timeout_s(client: PipelineClient, owner: StoredMessage) -> float:
    """Seconds from now within which a request's result should come."""
    from understudy_client.timeouts import MARGIN_S

    from contracts import request, subjects

    try:
        return client.timeout_s(request.read(owner.body, subjects.parse(owner.subject).kind))
    except request.RequestError:
        # It will be rejected at once.
        return request.DEFAULT_DEADLINE_MS / 1000 + MARGIN_S
