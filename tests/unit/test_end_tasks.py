"""Tasks end, also when they lose a cancellation."""

import asyncio

from understudy_client.tasks import end_tasks


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    lost: list[int] = []

    async def ask_for_ever() -> None:
        # As asyncio.wait_for of Python 3.11 does when the answer comes at the moment of the cancellation.
        try:
            await asyncio.shield(answered)
        except asyncio.CancelledError:
            lost.append(1)
        await asyncio.sleep(3600)

    task = asyncio.create_task(ask_for_ever())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await end_tasks(task)
    assert lost == [1]
    assert task.cancelled()


async def test_errors_of_tasks_stay_with_them() -> None:
    async def fail() -> None:
        raise ValueError("mine")

    async def end() -> int:
        return 7

    failing, ending = asyncio.create_task(fail()), asyncio.create_task(end())
    await asyncio.sleep(0)
    await end_tasks(failing, ending)
    assert ending.result() == 7
    assert isinstance(failing.exception(), ValueError)
