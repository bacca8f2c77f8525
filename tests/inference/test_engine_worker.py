"""Jobs in the engine's thread: all of it comes back, room is counted, what nobody waits for ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from olmo2.base.errors import UsageError
from olmo2.inference.engine import Engine, EngineSettings
from olmo2.inference.engine_worker import BrokenStepError, BusyError, EngineWorker
from olmo2.inference.request import Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def engine(tiny_model: Transformer, tokenizer: Tokenizer) -> Engine:
    return Engine(tiny_model, tokenizer, EngineSettings(max_sequences=4))


def request(first: int, num_tokens: int = 9) -> Request:
    return Request([first, 7, 8], SamplingSettings(max_new_tokens=num_tokens, ignore_end=True))


def in_loop(engine: Engine, work: Callable[[EngineWorker], Awaitable[Any]], most_requests: int = 8) -> Any:
    """Run `work` with a worker that is started and stopped around it."""

    async def whole() -> Any:
        worker = EngineWorker(engine, most_requests=most_requests)
        worker.start()
        try:
            return await asyncio.wait_for(work(worker), 60)
        finally:
            await worker.stop()
            assert not worker.is_alive

    return asyncio.run(whole())


async def answered(worker: EngineWorker, requests: list[Request], seconds: float = 60) -> list[list[int]]:
    job = worker.submit(requests)
    ids: list[list[int]] = [[] for _ in requests]
    try:
        async for place, update in worker.answer(job, seconds=seconds):
            ids[place] += update.token_ids
    finally:
        worker.release(job)
    return ids


def test_jobs_side_by_side_get_what_the_engine_alone_gives(engine: Engine) -> None:
    jobs = [[request(1), request(2)], [request(3)], [request(4), request(5), request(6)]]
    alone = [[each.token_ids for each in engine.run(job)] for job in jobs]

    async def work(worker: EngineWorker) -> Any:
        found = await asyncio.gather(*(answered(worker, job) for job in jobs))
        assert worker.num_open == 0
        return found

    assert in_loop(engine, work) == alone


def test_room_is_given_to_all_or_none(engine: Engine) -> None:
    async def work(worker: EngineWorker) -> None:
        job = worker.submit([request(1), request(2)])
        with pytest.raises(BusyError) as error:
            worker.submit([request(3), request(4)])
        assert error.value.retry_seconds >= 1 and worker.num_open == 2
        other = worker.submit([request(3)])
        for each in (job, other, job):  # twice does no harm
            worker.release(each)
        assert worker.num_open == 0
        await answered(worker, [request(3)])
        assert not worker.jobs and engine.is_idle

    in_loop(engine, work, most_requests=3)


def test_what_cannot_be_answered_is_refused_at_once(engine: Engine) -> None:
    async def work(worker: EngineWorker) -> None:
        with pytest.raises(UsageError, match="does not fit the model's context"):
            worker.submit([request(1), Request([1] * 200)])
        assert worker.num_open == 0

    in_loop(engine, work)


def test_a_broken_step_ends_what_is_under_way(engine: Engine) -> None:
    step = engine.step

    def breaking() -> Any:
        engine.step = step  # type: ignore[method-assign]
        raise RuntimeError("out of luck")

    async def work(worker: EngineWorker) -> Any:
        engine.step = breaking  # type: ignore[method-assign]
        with pytest.raises(BrokenStepError, match="RuntimeError: out of luck"):
            await answered(worker, [request(1), request(2)])
        assert worker.num_open == 0
        return await answered(worker, [request(1)])

    assert in_loop(engine, work) == [engine.run([request(1)])[0].token_ids]


def test_an_error_between_steps_does_not_end_the_thread(engine: Engine) -> None:
    reuse = engine.scheduler.reuse

    def breaking(sequence: Any) -> None:
        engine.scheduler.reuse = reuse  # type: ignore[method-assign]
        raise RuntimeError("half-way")

    async def work(worker: EngineWorker) -> Any:
        engine.scheduler.reuse = breaking  # type: ignore[method-assign]
        with pytest.raises(BrokenStepError, match="half-way"):
            await answered(worker, [request(1)])
        submit = engine.submit
        engine.submit = breaking  # type: ignore[method-assign, assignment]
        with pytest.raises(BrokenStepError, match="half-way"):
            await answered(worker, [request(1)])
        engine.submit = submit  # type: ignore[method-assign]
        return await answered(worker, [request(1)])

    assert in_loop(engine, work) == [engine.run([request(1)])[0].token_ids]


def test_a_thread_that_has_ended_takes_nothing(engine: Engine) -> None:
    async def work(worker: EngineWorker) -> None:
        await worker.stop()
        with pytest.raises(BrokenStepError, match="the engine has stopped; the server must be started again"):
            worker.submit([request(1)])

    in_loop(engine, work)


def test_more_than_there_will_ever_be_room_for(engine: Engine) -> None:
    async def work(worker: EngineWorker) -> None:
        with pytest.raises(UsageError, match=r"2 answers are more than this server works on \(1\)"):
            worker.submit([request(1), request(2)])

    in_loop(engine, work, most_requests=1)


def test_one_answer_without_numbers_ends_alone(engine: Engine) -> None:
    step = engine.step

    def broken() -> Any:
        engine.step = step  # type: ignore[method-assign]
        sequence = engine.scheduler.waiting[0]
        return [engine.broken(sequence)]

    async def work(worker: EngineWorker) -> Any:
        engine.step = broken  # type: ignore[method-assign]
        both = [asyncio.ensure_future(answered(worker, [request(place)])) for place in (1, 2)]
        return await asyncio.gather(*both, return_exceptions=True)

    first, second = in_loop(engine, work)
    assert isinstance(first, BrokenStepError) and "logits are not finite" in str(first)
    assert second == [engine.run([request(2)])[0].token_ids]


def test_a_job_fails_as_a_whole(engine: Engine) -> None:
    """Also if another of its answers is complete in the same step; other jobs go on."""
    step = engine.step

    def broken() -> Any:
        engine.step = step  # type: ignore[method-assign]
        first, second = list(engine.sequences.values())[-2:]
        done = engine.extend(second, 5)
        assert done.completion is not None
        return [engine.broken(first), done]

    async def work(worker: EngineWorker) -> Any:
        other = asyncio.ensure_future(answered(worker, [request(3, 60)]))
        while not engine.scheduler.running:
            await asyncio.sleep(0)
        both = worker.submit([request(1, 1), request(2, 1)])
        worker.inbox.put(lambda: setattr(engine, "step", broken))
        with pytest.raises(BrokenStepError, match="logits are not finite"):
            async for _ in worker.answer(both, seconds=60):
                pass
        worker.release(both)
        return await other

    assert in_loop(engine, work) == [engine.run([request(3, 60)])[0].token_ids]


def test_time_runs_out(engine: Engine) -> None:
    async def work(worker: EngineWorker) -> None:
        with pytest.raises(TimeoutError):
            await answered(worker, [request(1, 100)], seconds=0)
        assert worker.num_open == 0

    in_loop(engine, work)


def test_stopping_tells_those_who_wait(engine: Engine) -> None:
    async def work(worker: EngineWorker) -> None:
        waiting = asyncio.ensure_future(answered(worker, [request(1, 100)]))
        await asyncio.sleep(0)
        worker.inbox.put(worker.request_stop)
        with pytest.raises(BrokenStepError, match="the server is stopping"):
            await waiting

    in_loop(engine, work)
