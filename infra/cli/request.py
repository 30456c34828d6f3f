"""`understudy request`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from infra.cli import body_options, console
from infra.cli.console import Json
from infra.cli.result import print_result, status_of

if TYPE_CHECKING:
    from rich.progress import Progress
    from understudy_client import Submitted

    from contracts.events import Result
    from contracts.request import GenerationRequest
    from infra.app.pipeline_client import PipelineClient

T = TypeVar("T")

#: Concurrent requests with ``--count``.
_IN_FLIGHT: Final = 256
#: Seconds that one of many requests waits for room at the broker, and between two tries.
_BUSY_S: Final = 120.0
_AGAIN_S: Final = 0.2
#: Requests without ``--wait`` that are published together.
_PART: Final = 2_000
#: Failures that are printed one by one.
_MAX_FAILURES: Final = 10


def request(
    prompt: Annotated[str | None, typer.Argument(help="What to generate.")] = None,
    kind: body_options.Kind = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="BODY.json", help="File with the whole request body; - for standard input."
        ),
    ] = None,
    request_id: Annotated[str | None, typer.Option("--id", help="Request id; default: a new one.")] = None,
    template: body_options.Template = None,
    rules: body_options.Rules = None,
    node: Annotated[
        Path | None, typer.Option("--node", metavar="FILE", help="File with a node, in JSON or YAML.")
    ] = None,
    context: body_options.Context = None,
    scenes: Annotated[
        bool, typer.Option("--scenes", help="Also generate a scene for each beat of the plot.")
    ] = False,
    deadline_ms: Annotated[
        int | None, typer.Option("--deadline-ms", help="Deadline in ms; the fallback answers after it.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result and print it.")] = False,
    count: Annotated[int, typer.Option("--count", min=1, help="Send N requests, each with its own id.")] = 1,
    json: Json = False,
) -> None:
    """Publish a request; with --wait, print its one result.

    An id belongs to its first request: repeating that request returns its result; another request is refused.
    """
    from understudy_client import new_id

    from infra.app.pipeline_client import check
    from infra.cli import bodies

    body = bodies.body(
        bodies.BodyOptions(
            prompt=prompt,
            file=file,
            deadline_ms=deadline_ms,
            template=template,
            rules=rules,
            node=node,
            context=context,
            scenes=scenes,
        )
    )
    kind = bodies.kind(kind, body)
    ids = number(request_id, count) if request_id is not None else [new_id() for _ in range(count)]
    asked = check(kind, ids[0], body)
    # The last id is the longest.
    check(kind, ids[-1], body)
    settings = console.settings()

    async def work() -> int:
        async with console.connect(settings, waits=wait) as client:
            if count > 1 and not wait:
                return await _submit_all(client, kind, ids, body, json=json)
            if count > 1:
                return await _many(client, kind, ids, body, asked, json=json)
            return await _one(client, kind, ids[0], body, asked, wait=wait, json=json)

    console.run(work())


def number(request_id: str, count: int) -> list[str]:
    """The ids of requests that share a name: the name itself for one, else name-1, name-2 and so on."""
    return [request_id] if count == 1 else [f"{request_id}-{each}" for each in range(1, count + 1)]


async def _one(
    client: PipelineClient,
    kind: str,
    request_id: str,
    body: bytes,
    asked: GenerationRequest,
    *,
    wait: bool,
    json: bool,
) -> int:
    from infra.app.pipeline_client import checked

    out = console.people()
    if not wait:
        submitted = await client.submit(kind, body=body, request_id=request_id)
        if json:
            console.emit(_to_json(submitted))
        else:
            again = " (the broker had it already)" if submitted.duplicate else ""
            out.print(f"accepted as [bold]{submitted.subject}[/] at {client.url}{again}", soft_wrap=True)
            out.print(f"its result: understudy result {request_id} --wait", style="dim", soft_wrap=True)
        return console.DONE
    timeout_s = client.timeout_s(asked)
    asking = client.ask(kind, body=body, request_id=request_id, timeout_s=timeout_s)
    if json:
        found, content = checked(await asking), None
    else:
        with console.errors().status(f"waiting for {request_id}"):
            result = await asking
        found, content = checked(result), await client.document(result)
    print_result(found, content, json=json)
    return status_of(found)


async def _submit_all(client: PipelineClient, kind: str, ids: list[str], body: bytes, *, json: bool) -> int:
    """Publish many requests in batches; the broker refuses an id that belongs to another request."""
    from understudy_client import protocol

    from contracts import timestamp
    from infra.nats import submissions
    from infra.nats.submissions import Submission

    endings: Counter[str] = Counter()
    taken: list[str] = []
    bar = _bar()
    began = time.perf_counter()
    with bar:
        task = bar.add_task("accepted", total=len(ids))
        for start in range(0, len(ids), _PART):
            part = ids[start : start + _PART]
            requests = [
                submissions.request(
                    kind,
                    each,
                    body,
                    time=timestamp.format_s(time.time()),
                    traceparent=protocol.child_of(None),
                )
                for each in part
            ]
            done = await submissions.submit_all(client.wire, requests)
            bar.advance(task, len(part))
            for each, found in zip(requests, done, strict=True):
                request_id = each.subject.rpartition(".")[2]
                if found is Submission.TAKEN:
                    endings["not accepted"] += 1
                    taken.append(request_id)
                    continue
                endings["accepted"] += 1
                if json:
                    console.emit({"request_id": request_id, "kind": kind, "subject": each.subject})
    for request_id in taken[:_MAX_FAILURES]:
        console.complain(f"the id {request_id} belongs to another request; choose another one")
    if not json:
        from infra.cli.show import endings_table

        console.people().print(endings_table(endings, [], time.perf_counter() - began))
    return console.FAILED if taken else console.DONE


def _bar() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console.errors(),
        transient=True,
    )


async def _many(
    client: PipelineClient, kind: str, ids: list[str], body: bytes, asked: GenerationRequest, *, json: bool
) -> int:
    from infra.app.pipeline_client import checked

    timeout_s = client.timeout_s(asked)
    endings: Counter[str] = Counter()
    took: list[float] = []
    failed = away = 0
    bar = _bar()
    began = time.perf_counter()

    async def ask(request_id: str) -> tuple[float, Result]:
        start = time.perf_counter()

        async def once() -> Result:
            return checked(await client.ask(kind, body=body, request_id=request_id, timeout_s=timeout_s))

        found = await _when_there_is_room(once)
        return time.perf_counter() - start, found

    with bar:
        task = bar.add_task("results", total=len(ids))
        async for came in _bounded(ids, ask):
            bar.advance(task)
            if isinstance(came, Exception):
                failed += 1
                away += console.status_of(came) == console.UNREACHABLE
                endings["no result"] += 1
                if failed <= _MAX_FAILURES:
                    bar.console.print(str(came), style="red", soft_wrap=True, markup=False)
                continue
            seconds, answer = came
            took.append(seconds)
            endings[_ending(answer)] += 1
            failed += int(status_of(answer) != console.DONE)
            if json:
                console.emit(answer)
    if not json:
        from infra.cli.show import endings_table

        console.people().print(endings_table(endings, took, time.perf_counter() - began))
    return console.UNREACHABLE if away else console.FAILED if failed else console.DONE


async def _when_there_is_room(ask: Callable[[], Awaitable[T]]) -> T:
    """Publish one of many requests as soon as the broker accepts it."""
    from understudy_client import Busy

    until = time.perf_counter() + _BUSY_S
    while True:
        try:
            return await ask()
        except Busy:
            if time.perf_counter() > until:
                raise
            await asyncio.sleep(_AGAIN_S)


async def _bounded(
    ids: list[str], ask: Callable[[str], Any]
) -> AsyncIterator[tuple[float, Result] | Exception]:
    """Run requests with bounded concurrency, and yield each outcome as it comes; a failure is a value."""
    from understudy_client import ClientError

    from contracts.errors import UnderstudyError

    waiting = iter(ids)
    running: set[asyncio.Task[tuple[float, Result]]] = set()
    try:
        while True:
            for request_id in waiting:
                running.add(asyncio.create_task(ask(request_id)))
                if len(running) >= _IN_FLIGHT:
                    break
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    yield task.result()
                elif isinstance(error, UnderstudyError | ClientError):
                    yield error
                else:
                    raise error
    finally:
        for task in running:
            task.cancel()


def _to_json(submitted: Submitted) -> dict[str, str]:
    return {"request_id": submitted.request_id, "kind": submitted.kind, "subject": submitted.subject}


def _ending(answer: Result) -> str:
    from infra.inspect.record import named

    return named(answer)
