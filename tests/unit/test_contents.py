"""Contents of a request: what `why --content` prints."""

from __future__ import annotations

import msgspec

from contracts import events as ev
from contracts.errors import ErrorCode
from infra.cli import show_timeline
from infra.inspect import timeline
from infra.inspect.contents import list_contents
from infra.nats.log import LogEntry
from tests import lives


def _entry(name: str, body: object, *, ms: int) -> LogEntry:
    return LogEntry(
        stream="REQUESTS" if name == "requested" else "EVENTS",
        sequence=ms + 1,
        subject=f"gen.{name}.layout.r1",
        time_ns=ms * 1_000_000,
        headers={},
        body=msgspec.json.encode(body),
    )


def test_each_text_is_listed_once_in_the_order_of_the_events() -> None:
    know, draft = lives.brief(), lives.prose()
    torn, whole = lives.prose('{"scene_name": '), lives.prose('{"scene_name": "Forest"}')
    told = timeline.build(
        "r1",
        [
            _entry("requested", {"prompt": "a forest"}, ms=0),
            _entry("context_built", ev.ContextBuilt(attempt=1, brief=know), ms=1),
            _entry("drafted", ev.Drafted(attempt=1, brief=know, draft=draft), ms=2),
            _entry("structured", ev.Structured(attempt=1, brief=know, draft=draft, document=torn), ms=3),
            _entry("structured", ev.Structured(attempt=1, brief=know, draft=draft, document=torn), ms=4),
            _entry(
                "structured", ev.Structured(attempt=1, brief=know, draft=draft, document=whole, reask=1), ms=5
            ),
            _entry("result", lives.success("r1"), ms=6),
        ],
    )
    assert told is not None
    parts = list_contents(told)
    assert [(each.title, each.value) for each in parts] == [
        ("request", {"prompt": "a forest"}),
        ("rendered prompt, attempt 1", know.prompt),
        ("draft, attempt 1", draft.text),
        ("document, attempt 1", torn.text),
        ("document, attempt 1, re-ask 1", whole.text),
        ("content", lives.success("r1").content),
    ]
    shown = "\n".join(line.plain for line in show_timeline.contents(parts))
    assert '  "prompt": "a forest"' in shown
    assert draft.text in shown


def test_the_last_output_is_listed_and_cannot_command_the_terminal() -> None:
    failed = ev.Failed(
        attempt=1,
        code=ErrorCode.GEN_SCHEMA_INVALID,
        stage="validate-repair",
        message="cut off",
        evidence="{\x1b[2J",
    )
    told = timeline.build("r1", [_entry("failed", failed, ms=1)])
    assert told is not None
    (part,) = list_contents(told)
    assert part.title == "last output of the provider"
    assert [line.plain for line in show_timeline.contents([part])][1] == "{\\x1b[2J"


def test_a_replay_says_of_what_from_where_and_by_which_job() -> None:
    body = {
        "prompt": "x",
        "replay_of": "r0",
        "shadow": True,
        "from_stage": "structuring",
        "patched_by": "job-1",
    }
    told = timeline.build("r1", [_entry("requested", body, ms=0)])
    assert told is not None
    assert (told.replay_of, told.shadow, told.from_stage, told.patched_by) == (
        "r0",
        True,
        "structuring",
        "job-1",
    )
