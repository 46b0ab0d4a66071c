"""Does somebody read what each stage is to read, and how far behind?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from postcall.doctor.findings import Finding, Patient
from postcall.kafka import open_admin
from postcall.lag import read_log_state
from postcall.topics import stage_group


async def check_groups(patient: Patient) -> AsyncIterator[Finding]:
    """:raises LogUnavailable: the log does not answer."""
    state = await read_log_state(patient.log)
    if not state.high_watermarks:
        yield Finding(check="groups", state="skipped", says="There is nothing to read yet.")
        return
    members = await _count_members(patient, [stage_group(stage.stage, state.generation) for stage in state.stages])
    for stage in state.stages:
        group = stage_group(stage.stage, state.generation)
        readers = members.get(group, 0)
        says = f"{group}: {readers} member{'s' * (readers != 1)}, {stage.lag} records behind in {stage.topic}."
        if stage.lag and not readers:
            yield Finding(check="groups", state="warning", says=says, remedy="Does postcall streams run?")
        else:
            yield Finding(check="groups", state="ok", says=says)


async def _count_members(patient: Patient, groups: list[str]) -> dict[str, int]:
    async with open_admin(patient.log) as admin:
        # One by one: aiokafka 0.14 reads an answer of version 3 as one of version 2, and stumbles over a second group.
        responses = [response for group in groups for response in await admin.describe_consumer_groups([group])]
    # (error code, group, state, protocol type, protocol, members, …)
    return {group[1]: len(group[5]) for response in responses for group in response.groups if not group[0]}
