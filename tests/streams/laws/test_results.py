"""Laws of what comes out: each readable record leads to its one result, each other to its one dead letter."""

from __future__ import annotations

from collections import Counter

from postcall.log import open_record
from postcall.outcomes import AnalysisDeferred, RecordingDeferred
from tests.streams.laws.bench import Bench
from tests.streams.laws.stages import ACTING, EVERY, EVERY_ENGINE, TRANSFORMS, for_stages
from tests.streams.laws.subjects import LedgerWork
from tests.streams.log_contents import append_all, read_all
from tests.waiting import eventually


@for_stages(EVERY_ENGINE, on_kafka=EVERY)
async def test_what_is_readable_leads_to_its_result_and_what_is_not_to_one_dead_letter(bench: Bench) -> None:
    await bench.put("s-1", "s-2", "s-1")
    await bench.put_unreadable(1, 2, 1)
    await bench.put("s-3")
    async with bench.running():
        await bench.until_done("s-1", "s-2", "s-3")
        await bench.put_unreadable(2)
        await bench.put("s-4", "s-2", "s-3")
        await bench.until_done("s-4")
        await bench.until_letters(2)
    sessions = ["s-1", "s-2", "s-3", "s-4"]
    results = await bench.results()
    assert set(results) == bench.expected(sessions)
    if bench.subject.is_slow:
        assert len(results) == 4, "work that was asked for again was done again"
    if bench.subject.outside is not None:
        assert bench.outside.asked == dict.fromkeys(sessions, 1)
    letters = {letter.id: letter for letter in await bench.letters()}
    assert len(letters) == 2
    for letter in letters.values():
        assert (letter.stage, letter.session_id, letter.attempts) == (bench.subject.name, "u-1", 1)
        assert letter.error_class in {"unreadable", "schema"}
    pointed_at = {(await bench.find(letter)).value for letter in letters.values()}
    assert pointed_at == {bench.subject.unreadable(number).value for number in (1, 2)}


@for_stages(TRANSFORMS, on_kafka=TRANSFORMS)
async def test_a_session_keeps_its_order(bench: Bench) -> None:
    sources = [bench.subject.source(f"s-{number % 7}", number) for number in range(700)]
    await append_all(bench.log, sources)
    expected: dict[bytes | None, list[str | None]] = {}
    for source in sources:
        expected.setdefault(source.key, []).extend(result.id for result in bench.subject.expect(source))
    async with bench.running():
        await eventually(lambda: bench.has_results(700), timeout_s=60)
    told: dict[bytes | None, list[str | None]] = {}
    for record in await read_all(bench.log, bench.subject.results):
        told.setdefault(record.key, []).append(record.header("ce_id"))
    assert told == expected


@for_stages(ACTING, on_kafka=[LedgerWork])
async def test_what_is_put_off_waits_though_the_index_is_lost_and_holds_up_no_other(bench: Bench) -> None:
    bench.outside.put_off.add("s-1")
    await bench.put("s-1")
    async with bench.running():
        await eventually(lambda: bench.has_results(1))
        await bench.put("s-2")
        await bench.until_done("s-2")
    (waits,) = [
        message
        for message in [open_record(record).message for record in await read_all(bench.log, bench.subject.results)]
        if isinstance(message, RecordingDeferred | AnalysisDeferred)
    ]
    async with bench.running("who knows nothing but the log"):
        await eventually(lambda: bench.outside.served["s-1"] == 1)
    assert bench.outside.asked == {"s-1": 2, "s-2": 1}
    assert bench.outside.asked_at_s["s-1"][1] >= waits.not_before.timestamp() - 0.01
    assert Counter(result.kind for result in await bench.results())[bench.subject.kind] == 2
