"""What follows for one dead letter that is tried again: nothing but records to append."""

from __future__ import annotations

from collections.abc import Sequence

from postcall.dead_letters import DeadLetter, Retry, dead_letter, read_retry
from postcall.decisions import DeadLetterResolved
from postcall.log import encode, open_record
from postcall.messages import Message
from postcall.outcomes import AnalysisFailed
from postcall.records import NewRecord, Record
from postcall.requests import AnalyzeSession
from postcall.settings import Configuration
from postcall.topics import ANALYSIS_BACKFILL, EVENTS, MAX_RECORD_BYTES
from streams.replay.dead_letters_retry import Retrial, Retried
from streams.replay.dead_letters_selection import OpenLetter
from tests.streams.deliveries import END_BODY, RECEIVED_AT, deliver, read_back

TODAY = Retrial.of_today(Configuration())
DELIVERY = read_back(deliver(END_BODY), partition=2, offset=7)
ANALYSIS = AnalyzeSession(session_id="s-1", analyzer="summary", revision=1, input="[]", input_hash="00")


def letter_of(record: Record, *, stage: str, attempts: int = 1) -> OpenLetter:
    letter = dead_letter(record, stage=stage, error_class="bug", reason="", attempts=attempts)
    return OpenLetter(id=letter.id, stage=stage, error_class="bug", attempts=attempts, position=record.position)


def retry(record: Record, *, stage: str, attempts: int = 1, retrial: Retrial = TODAY) -> Retried:
    return retrial.retry(letter_of(record, stage=stage, attempts=attempts), record)


def opened(record: NewRecord) -> Message:
    return open_record(read_back(record)).message


def test_what_is_derived_is_what_the_stage_would_have_derived() -> None:
    for record, stage in ((DELIVERY, "normalize"), (read_back(TODAY.derivations["normalize"](DELIVERY)[0]), "plan")):
        retried = retry(record, stage=stage, attempts=4)
        assert retried.fate == "resolved"
        assert list(retried.records) == list(TODAY.derivations[stage](record))
        assert retried.records
        assert retried.decision is not None
        letter = letter_of(record, stage=stage)
        assert opened(retried.decision) == DeadLetterResolved(
            dead_letter_id=letter.id, attempts=4, resolution="replayed"
        )


def fail(record: Record) -> Sequence[NewRecord]:
    raise ZeroDivisionError(record.value)


def swell(record: Record) -> Sequence[NewRecord]:
    return [NewRecord(topic=EVENTS.name, key=record.key, value=b"x" * MAX_RECORD_BYTES)]


def test_what_fails_again_is_the_same_letter_with_one_more_attempt_and_todays_reason() -> None:
    for derive, error_class, reason in ((fail, "bug", "ZeroDivisionError in fail"), (swell, "schema", "24")):
        retried = retry(DELIVERY, stage="normalize", attempts=2, retrial=Retrial(derivations={"normalize": derive}))
        assert (retried.fate, retried.decision) == ("failed_again", None)
        (again,) = [opened(record) for record in retried.records]
        assert isinstance(again, DeadLetter)
        assert (again.id, again.attempts) == (letter_of(DELIVERY, stage="normalize").id, 3)
        assert again.error_class == error_class
        assert reason in again.reason
        assert "boiler" not in again.reason


def test_slow_work_is_asked_for_again_where_it_was_asked_for_and_closes_nothing() -> None:
    first = encode(ANALYSIS, source="replay", time=RECEIVED_AT, topic=ANALYSIS_BACKFILL, retry_of=None)
    record = read_back(first, partition=1, offset=3)
    for attempts in (3, 6):
        retried = retry(record, stage="insights", attempts=attempts)
        assert (retried.fate, retried.decision) == ("asked_again", None)
        (again,) = retried.records
        assert (again.topic, again.key, again.value) == (first.topic, first.key, first.value)
        record = read_back(again, partition=1, offset=9)
        assert record.header("ce_id") == dict(first.headers)["ce_id"].decode()
        assert read_retry(record) == Retry(id=letter_of(record, stage="insights").id, attempts=attempts)


def test_what_is_no_request_fails_again() -> None:
    outcome = AnalysisFailed(
        session_id="s-1", request_id=ANALYSIS.request_id, attempt=1, analyzer="summary", revision=1, input_hash="00",
        trigger="live", produced_at=RECEIVED_AT, reason="refusal",
    )  # fmt: skip
    record = read_back(encode(outcome, source="insights", time=RECEIVED_AT))
    retried = retry(record, stage="insights")
    (again,) = [opened(record) for record in retried.records]
    assert isinstance(again, DeadLetter)
    assert (retried.fate, again.error_class, again.attempts) == ("failed_again", "schema", 2)
