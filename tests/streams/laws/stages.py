"""Which stages a law is for, and on which logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.streams.laws.subjects import (
    Insights,
    LedgerWork,
    LocalInsights,
    Normalize,
    Plan,
    Recordings,
    Subject,
)

#: Those that derive records from records.
TRANSFORMS = (Normalize, Plan)
#: Those that act upon something outside.
ACTING = (Recordings, Insights, LedgerWork)
EVERY = (*TRANSFORMS, *ACTING)
EVERY_ENGINE = (*EVERY, LocalInsights)
#: One of each kind.
ONE_OF_EACH = (Normalize, LedgerWork)

_Kinds = Sequence[type[Subject]]


def for_stages(kinds: _Kinds, *, on_kafka: _Kinds) -> pytest.MarkDecorator:
    """Let `bench` be each of these on the embedded log, and these on Apache Kafka.

    On both are all stages where the law is of what lies in the log, and some of them where it is not.
    """
    embedded: list[Any] = [pytest.param("embedded", kind, id=f"embedded-{kind.__name__}") for kind in kinds]
    kafka: list[Any] = [
        pytest.param("kafka", kind, id=f"kafka-{kind.__name__}", marks=pytest.mark.kafka) for kind in on_kafka
    ]
    return pytest.mark.parametrize(("log_address", "bench"), embedded + kafka, indirect=True)
