"""Laws of our own code: what fails with it alone is set aside, and what all fail with is waited for."""

from __future__ import annotations

import pytest

from tests.streams.laws.bench import Bench
from tests.streams.laws.stages import EVERY, ONE_OF_EACH, for_stages
from tests.waiting import eventually

FIRST = [f"s-{number}" for number in range(8)]
LATER = [f"s-{number}" for number in range(8, 16)]


@for_stages(EVERY, on_kafka=ONE_OF_EACH)
async def test_one_that_our_code_fails_with_is_set_aside_and_all_are_waited_with(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.own_code.fails = lambda session_id: session_id == "s-3"
    done = [session_id for session_id in FIRST if session_id != "s-3"]
    await bench.put(*FIRST)
    async with bench.running():
        await bench.until_done(*done)
        await bench.until_letters(1)
        await eventually(lambda: not bench.is_paused)
        bench.own_code.fails = lambda _: True
        await bench.put(*LATER)
        await eventually(lambda: bench.is_paused, timeout_s=60)
        tries = bench.own_code.called.total()
        await eventually(lambda: bench.own_code.called.total() >= tries + 2, timeout_s=60)
        assert len(await bench.letters()) == 1
        assert set(await bench.results()) == bench.expected(done)
        bench.own_code.fails = lambda _: False
        await bench.until_done(*LATER)
        await eventually(lambda: not bench.is_paused)
    if bench.subject.is_slow:
        async with bench.running("who knows nothing but the log"):
            await bench.put("s-3", "s-16")
            await bench.until_done("s-16")
        assert bench.own_code.called["s-3"] == 3, "it was tried again after it was set aside"
        done.append("s-16")
    (letter,) = await bench.letters()
    assert (letter.session_id, letter.stage, letter.error_class) == ("s-3", bench.subject.name, "bug")
    assert letter.attempts == 3
    assert letter.reason.startswith("ZeroDivisionError in call")
    (source,) = bench.sources("s-3")
    assert (await bench.find(letter)).value == source.value
    assert set(await bench.results()) == bench.expected([*done, *LATER])
    assert any("our own code failed: ZeroDivisionError" in reason for reason in bench.pauses if reason)
    assert "boiler" not in caplog.text
