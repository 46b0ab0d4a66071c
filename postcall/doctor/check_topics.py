"""Are the topics there as they are wanted, and what does an answer of 200 mean on them?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from postcall.doctor.findings import Finding, Patient
from postcall.topic_creation import TopicsReport, compare_topics
from postcall.topic_settings import TopicState
from postcall.topics import WEBHOOKS


async def check_topics(patient: Patient) -> AsyncIterator[Finding]:
    """:raises LogUnavailable: the log does not answer."""
    report = await compare_topics(patient.log, patient.settings.topics)
    for finding in (*_on_settings(report), _on_durability(report, is_embedded=patient.is_embedded)):
        yield finding


def _on_settings(report: TopicsReport) -> Iterator[Finding]:
    if report.missing:
        yield Finding(
            check="topics",
            state="warning",
            says=f"Not there: {', '.join(report.missing)}.",
            remedy="Ingest makes them when it starts, if its user may; else: postcall topics --create",
        )
    for difference in report.differences:
        yield Finding(check="topics", state="warning", says=str(difference))
    if report.uncompared:
        yield Finding(
            check="topics",
            state="warning",
            says=f"This user may not read the configs of {', '.join(report.uncompared)}.",
            remedy="Allow DescribeConfigs on them, or ask somebody who may run: postcall topics --check",
        )
    if not (report.missing or report.differences or report.uncompared):
        first = report.states[0]
        yield Finding(
            check="topics",
            state="ok",
            says=f"All {len(report.states)} are there as wanted: {first.partitions} partitions,"
            f" {first.replication_factor} replica{'s' * (first.replication_factor != 1)}.",
        )


def _on_durability(report: TopicsReport, *, is_embedded: bool) -> Finding:
    """What 200 means: the door answers it when `postcall.webhooks` has acknowledged the delivery."""
    state = next((state for state in report.states if state.name == WEBHOOKS.name), None)
    if state is None:
        return Finding(check="durability", state="skipped", says=f"{WEBHOOKS.name} is not there yet.")
    if is_embedded:
        return Finding(check="durability", state="ok", says="200 means: on this machine's disk (fsync).")
    if state.configs is None:
        return Finding(
            check="durability",
            state="warning",
            says=f"What 200 means cannot be told: this user may not read the configs of {WEBHOOKS.name}.",
        )
    return _on_kafkas_durability(state)


def _on_kafkas_durability(state: TopicState) -> Finding:
    configs, replicas = state.configs or {}, state.replication_factor
    in_sync = int(configs.get("min.insync.replicas", "1"))
    if replicas == 1 and configs.get("flush.messages") == "1":
        return Finding(check="durability", state="ok", says="200 means: on the one broker's disk (flush.messages=1).")
    if replicas > 1 and in_sync > 1:
        spare = replicas - in_sync
        return Finding(
            check="durability",
            state="ok" if spare else "warning",
            says=f"200 means: on at least {in_sync} of {replicas} brokers (min.insync.replicas={in_sync}).",
            remedy=None if spare else "No broker may be down, or deliveries are refused: use one replica more.",
        )
    missing = "flush.messages=1" if replicas == 1 else "min.insync.replicas=2"
    return Finding(
        check="durability",
        state="failed",
        says=f"200 means nothing durable: {WEBHOOKS.name} has {replicas} replica{'s' * (replicas != 1)}"
        f" without {missing}, so one broker's crash may lose what was acknowledged.",
        remedy=f"Run: kafka-configs.sh --bootstrap-server $POSTCALL_KAFKA --alter --entity-type topics"
        f" --entity-name {WEBHOOKS.name} --add-config {missing}",
    )
