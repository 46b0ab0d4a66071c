"""Running the checks, in an order in which the first failure explains the later ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiokafka.errors import KafkaError

from postcall.doctor.check_data_directory import check_data_directory
from postcall.doctor.check_groups import check_groups
from postcall.doctor.check_hosts import check_hosts
from postcall.doctor.check_log import check_log, check_security
from postcall.doctor.check_readers import check_readers
from postcall.doctor.check_secrets import check_secrets
from postcall.doctor.check_settings import check_settings
from postcall.doctor.check_topics import check_topics
from postcall.doctor.findings import Check, Finding, Patient
from postcall.errors import PostcallError
from postcall.instance import find_instance, find_log
from postcall.settings import Configuration, Settings

_LIMIT_S: Final = 60
_OF_THE_MACHINE: Final[dict[str, Check]] = {
    "settings": check_settings,
    "secrets": check_secrets,
    "data": check_data_directory,
    "security": check_security,
    "readers": check_readers,
}
_OF_THE_LOG: Final[dict[str, Check]] = {"topics": check_topics, "groups": check_groups}


async def examine(configuration: Configuration, *, is_online: bool) -> AsyncIterator[Finding]:
    """All findings, as they come."""
    try:
        settings = configuration.read(Settings)
        log = find_log(settings)
    except PostcallError as error:
        yield Finding(check="settings", state="failed", says=str(error))
        return
    patient = Patient(
        configuration=configuration,
        settings=settings,
        instance=find_instance(settings.data_dir),
        log=log,
        is_online=is_online,
    )
    for name, check in _OF_THE_MACHINE.items():
        for finding in await _findings(name, check, patient):
            yield finding
    found = await _findings("log", check_log, patient)
    for finding in found:
        yield finding
    is_answering = found[0].state == "ok"
    for name, check in _OF_THE_LOG.items():
        if not is_answering:
            yield Finding(check=name, state="skipped", says="The log does not answer.")
            continue
        for finding in await _findings(name, check, patient):
            yield finding
    for finding in await _findings("hosts", check_hosts, patient):
        yield finding


async def _findings(name: str, check: Check, patient: Patient) -> list[Finding]:
    try:
        async with asyncio.timeout(_LIMIT_S):
            return [finding async for finding in check(patient)]
    except TimeoutError:
        return [Finding(check=name, state="failed", says=f"No end after {_LIMIT_S} s.")]
    except (PostcallError, KafkaError, OSError) as error:
        return [Finding(check=name, state="failed", says=str(error))]
