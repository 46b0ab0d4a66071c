"""One dead letter tried again with today's code: what is to be appended, without appending it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from postcall.dead_letters import ErrorClass, Retry
from postcall.decisions import DeadLetterResolved, Resolution
from postcall.errors import UnreadableRecord
from postcall.log import encode, open_record
from postcall.records import NewRecord, Record
from postcall.settings import Configuration
from postcall.topics import ALL_TOPICS, STAGE_INPUTS
from streams.appender import require_fitting
from streams.conclusions import read_request
from streams.errors import RecordTooLarge
from streams.failures import describe_failure
from streams.replay.dead_letters_selection import OpenLetter
from streams.set_aside import encode_dead_letter
from streams.stages import DERIVATIONS
from streams.transform import Derive

_SOURCE = "replay"
_TOPICS = {topic.name: topic for topic in ALL_TOPICS}

#: What becomes of a letter: its stage's function got through the record, or failed again; its stage was asked to do it
#: again; the log does not have the record; its stage is none of this release; a person let it be.
Fate = Literal["resolved", "failed_again", "asked_again", "gone", "unknown_stage", "dismissed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried:
    """What follows for one letter."""

    fate: Fate
    records: tuple[NewRecord, ...] = ()
    #: Says that the letter is closed; true only once `records` are durable.
    decision: NewRecord | None = None


@dataclass(frozen=True, kw_only=True)
class Retrial:
    """Tries records again, with the functions that the stages run.

    :param derivations: of the stages that derive records; the others are asked to do their work again.
    """

    derivations: dict[str, Derive] = field(default_factory=dict)

    @classmethod
    def of_today(cls, configuration: Configuration, *, generation: int = 1) -> Retrial:
        """With this release's code and these settings, in the live generation of events.

        :raises SettingsError: a setting cannot be used.
        """
        return cls(derivations={stage: build(configuration, generation) for stage, build in DERIVATIONS.items()})

    def retry(self, letter: OpenLetter, record: Record | None) -> Retried:
        """Try the record of a letter again; None = the log does not have it."""
        if letter.stage not in STAGE_INPUTS:
            return Retried(fate="unknown_stage")
        if record is None:
            return Retried(fate="gone")
        try:
            return self._derive(letter, record) if letter.stage in self.derivations else _ask_again(letter, record)
        except (UnreadableRecord, RecordTooLarge) as error:
            return _fail(letter, record, error_class=error.error_class, reason=str(error))
        except Exception as error:  # noqa: BLE001 - our own code may fail in any way, and this is asked
            return _fail(letter, record, error_class="bug", reason=describe_failure(error))

    def _derive(self, letter: OpenLetter, record: Record) -> Retried:
        derived = tuple(self.derivations[letter.stage](record))
        for new_record in derived:
            require_fitting(new_record)
        return Retried(fate="resolved", records=derived, decision=decide(letter, "replayed"))


def decide(letter: OpenLetter, resolution: Resolution) -> NewRecord:
    """The decision that closes a letter."""
    decision = DeadLetterResolved(dead_letter_id=letter.id, attempts=letter.attempts, resolution=resolution)
    return encode(decision, source=_SOURCE, time=datetime.now(UTC), causation=letter.position)


def dismiss(letter: OpenLetter) -> Retried:
    """Let a letter be."""
    return Retried(fate="dismissed", decision=decide(letter, "dismissed"))


def _ask_again(letter: OpenLetter, record: Record) -> Retried:
    """The request once more, into the topic that it came from; its stage does it, and closes the letter itself."""
    request = read_request(record, STAGE_INPUTS[letter.stage])
    again = encode(
        request,
        source=_SOURCE,
        time=open_record(record).time,
        causation=record.position,
        topic=_TOPICS[record.topic],
        retry_of=Retry(id=letter.id, attempts=letter.attempts),
    )
    return Retried(fate="asked_again", records=(again,))


def _fail(letter: OpenLetter, record: Record, *, error_class: ErrorClass, reason: str) -> Retried:
    attempts = letter.attempts + 1
    again = encode_dead_letter(record, stage=letter.stage, error_class=error_class, reason=reason, attempts=attempts)
    return Retried(fate="failed_again", records=(again,))
