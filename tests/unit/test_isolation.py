"""Isolation: many run together, a suspect alone."""

from __future__ import annotations

import asyncio

from infra.runner.isolation import Isolation


class Room:
    """Who is in, and in which order they came."""

    def __init__(self) -> None:
        self.isolation = Isolation()
        self.inside: set[str] = set()
        self.came: list[tuple[str, frozenset[str]]] = []
        self.leave: dict[str, asyncio.Event] = {}

    async def together(self, name: str) -> None:
        leave = self.leave[name] = asyncio.Event()
        await self.isolation.enter()
        try:
            await self._stay(name, leave)
        finally:
            self.isolation.leave()

    async def alone(self, name: str) -> None:
        leave = self.leave[name] = asyncio.Event()
        async with self.isolation.alone():
            await self._stay(name, leave)

    async def _stay(self, name: str, leave: asyncio.Event) -> None:
        self.came.append((name, frozenset(self.inside)))
        self.inside.add(name)
        await leave.wait()
        self.inside.discard(name)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_ordinary_ones_run_together() -> None:
    room = Room()
    running = [asyncio.create_task(room.together(name)) for name in "ab"]
    await turns()
    assert room.came == [("a", frozenset()), ("b", frozenset("a"))]
    for leave in room.leave.values():
        leave.set()
    await asyncio.gather(*running)


async def test_a_suspect_waits_for_all_and_goes_before_newcomers() -> None:
    room = Room()
    running = [asyncio.create_task(room.together("a")), asyncio.create_task(room.alone("suspect"))]
    await turns()
    running.append(asyncio.create_task(room.together("late")))
    await turns()
    assert [name for name, _ in room.came] == ["a"]
    room.leave["a"].set()
    await turns()
    assert room.came[1:] == [("suspect", frozenset())]
    room.leave["suspect"].set()
    await turns()
    assert room.came[2:] == [("late", frozenset())]
    room.leave["late"].set()
    await asyncio.gather(*running)


async def test_two_suspects_run_one_after_the_other() -> None:
    room = Room()
    running = [asyncio.create_task(room.alone(name)) for name in ("one", "two")]
    await turns()
    room.leave["one"].set()
    await turns()
    assert room.came == [("one", frozenset()), ("two", frozenset())]
    room.leave["two"].set()
    await asyncio.gather(*running)


async def test_one_that_fails_lets_the_next_one_in() -> None:
    room = Room()
    failing = asyncio.create_task(room.alone("one"))
    await turns()
    failing.cancel()
    await asyncio.gather(failing, return_exceptions=True)
    running = asyncio.create_task(room.together("next"))
    await turns()
    assert ("next", frozenset({"one"})) == room.came[-1]
    room.leave["next"].set()
    await running
