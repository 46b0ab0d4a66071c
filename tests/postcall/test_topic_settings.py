"""What is wanted of topics, and what counts as a difference."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postcall.errors import SettingsError
from postcall.settings import Configuration, Settings
from postcall.topic_settings import TopicSettings, TopicState, find_differences
from postcall.topics import DECISIONS, MAX_RECORD_BYTES

A_DAY_MS = 24 * 60 * 60 * 1000

WANTED = st.builds(
    TopicSettings,
    partitions=st.integers(1, 100),
    replication_factor=st.integers(1, 5),
    retention_days=st.none() | st.floats(0.01, 10_000),
)


def state_of(wanted: TopicSettings, **configs: str) -> TopicState:
    """A topic as it is made."""
    return TopicState(
        name="postcall.webhooks",
        partitions=wanted.partitions,
        replication_factor=wanted.replication_factor,
        configs=wanted.configs() | configs,
    )


def differing(state: TopicState, wanted: TopicSettings) -> dict[str, tuple[str, str]]:
    return {each.setting: (each.found, each.wanted) for each in find_differences(state, wanted)}


def read(**environment: str) -> TopicSettings:
    return Configuration(environment=environment).read(Settings).topics


@given(WANTED)
def test_a_topic_that_was_made_as_wanted_does_not_differ(wanted: TopicSettings) -> None:
    assert differing(state_of(wanted), wanted) == {}


def test_one_replica_flushes_every_record_and_more_wait_for_a_second() -> None:
    one, three = TopicSettings().configs(), TopicSettings(replication_factor=3).configs()
    assert one["flush.messages"] == "1"
    assert "min.insync.replicas" not in one
    assert three["min.insync.replicas"] == "2"
    assert "flush.messages" not in three


@pytest.mark.parametrize(("days", "retention_ms"), [(None, "-1"), (7, str(7 * A_DAY_MS)), (0.5, str(A_DAY_MS // 2))])
def test_records_are_kept_for_ever_unless_a_number_of_days_is_set(days: float | None, retention_ms: str) -> None:
    configs = TopicSettings(retention_days=days).configs()
    assert configs["retention.ms"] == retention_ms
    assert configs["retention.bytes"] == "-1"
    assert TopicSettings(retention_days=days).configs_of(DECISIONS.name) == configs | {"retention.ms": "-1"}


def test_each_setting_that_differs_is_told_with_what_is_and_what_is_wanted() -> None:
    wanted = TopicSettings(partitions=8)
    state = replace(
        state_of(wanted, **{"retention.ms": "604800000", "flush.messages": "9223372036854775807"}), partitions=1
    )
    assert differing(state, wanted) == {
        "partitions": ("1", "8"),
        "retention.ms": ("604800000", "-1"),
        "flush.messages": ("9223372036854775807", "1"),
    }


def test_durability_is_judged_by_the_replicas_that_there_are() -> None:
    made_with_three = state_of(TopicSettings(replication_factor=3))
    assert differing(made_with_three, TopicSettings()) == {"replication factor": ("3", "1")}


def test_more_than_wanted_is_as_good() -> None:
    wanted = TopicSettings(replication_factor=3)
    more = {"min.insync.replicas": "3", "max.message.bytes": str(2 * MAX_RECORD_BYTES)}
    assert differing(state_of(wanted, **more), wanted) == {}
    less = {"min.insync.replicas": "1", "max.message.bytes": "1048588"}
    assert set(differing(state_of(wanted, **less), wanted)) == set(less)


def test_configs_that_the_log_does_not_tell_are_not_compared() -> None:
    wanted = TopicSettings()
    assert differing(replace(state_of(wanted), configs=None), wanted) == {}
    assert differing(replace(state_of(wanted), configs={"retention.ms": "1"}), wanted) == {"retention.ms": ("1", "-1")}


def test_a_difference_says_what_to_do() -> None:
    wanted = TopicSettings()
    (difference,) = find_differences(state_of(wanted, **{"cleanup.policy": "compact"}), wanted)
    assert str(difference) == (
        "postcall.webhooks: cleanup.policy is compact, wanted delete. Run: kafka-configs.sh --bootstrap-server"
        " $POSTCALL_KAFKA --alter --entity-type topics --entity-name postcall.webhooks"
        " --add-config cleanup.policy=delete"
    )


def test_only_an_apache_kafka_heeds_replication_and_retention() -> None:
    chosen = {"POSTCALL_PARTITIONS": "2", "POSTCALL_REPLICATION_FACTOR": "3", "POSTCALL_RETENTION_DAYS": "30"}
    assert read(**chosen) == TopicSettings(partitions=2)
    assert read(POSTCALL_KAFKA="kafka:9092", **chosen) == TopicSettings(
        partitions=2, replication_factor=3, retention_days=30
    )


@pytest.mark.parametrize("name", ["PARTITIONS", "REPLICATION_FACTOR", "RETENTION_DAYS"])
def test_a_number_that_makes_no_sense_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"POSTCALL_{name}=0"):
        read(**{"POSTCALL_KAFKA": "kafka:9092", f"POSTCALL_{name}": "0"})
