"""Who works at each stage: its consumer group, as the log's coordinator sees it."""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code

from postcall.errors import LogUnavailable
from postcall.generations import may_have_later, read_generation
from postcall.kafka import open_admin
from postcall.log_connection import LogConnection
from postcall.topics import STAGE_INPUTS, stage_group


@dataclass(frozen=True, kw_only=True, slots=True)
class StageGroup:
    """A stage's group: its members, and the coordinator's word for its state (`Stable`, `Empty`, …)."""

    stage: str
    state: str
    members: int


async def read_stage_groups(log: LogConnection) -> tuple[StageGroup, ...]:
    """Ask the log for those of the live generation; a group that nobody ever joined has no members.

    :raises LogUnavailable: it does not answer.
    """
    async with open_admin(log) as admin:
        try:
            is_first = not may_have_later(await admin.list_topics())
            live = 1 if is_first else (await read_generation(log)).number
            return tuple([await _read_group(admin, stage, stage_group(stage, live)) for stage in STAGE_INPUTS])
        except KafkaError as error:
            raise LogUnavailable(f"The log at {log} does not answer: {error!r}.") from error


async def _read_group(admin: AIOKafkaAdminClient, stage: str, group: str) -> StageGroup:
    (response,) = await admin.describe_consumer_groups([group])
    ((error_code, _name, state, _type, _protocol, members, *_),) = response.groups
    if error_code:
        raise for_code(error_code)(group)
    return StageGroup(stage=stage, state=state, members=len(members))
