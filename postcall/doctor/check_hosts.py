"""Are the hosts known that recordings and analyses come from? Only `--online` speaks to them, with our keys."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from postcall.doctor.findings import Finding, Patient, State
from postcall.sources import SOURCE_MODULES, load_source, source_module
from postcall.sources.base import KeyProbe

if TYPE_CHECKING:
    import httpx

_LIMIT_S: Final = 10
#: Signatures are refused when the clocks differ by minutes; a Date header is exact to a second.
_SKEW_LIMIT_S: Final = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """An API outside: whose it is, its URL, the setting that names it, and how to try our key."""

    owner: str
    url: str
    env: str
    probe: KeyProbe | None


async def check_hosts(patient: Patient) -> AsyncIterator[Finding]:
    """One line for each API that is used, and for the clock where one was asked."""
    for host in _hosts(patient):
        finding = await _resolve(host)
        if finding.state == "ok" and patient.is_online and host.probe is not None:
            async for asked in _ask(host, host.probe):
                yield asked
        else:
            yield finding


def _hosts(patient: Patient) -> Iterator[Host]:
    for name in SOURCE_MODULES:
        probe = load_source(name, patient.configuration).key_probe()
        for row in patient.configuration.rows(source_module(name).Settings):
            if row.name == "api_url":
                yield Host(owner=name, url=row.value, env=row.env, probe=probe)
    key, url = patient.settings.openai_api_key, patient.settings.openai_base_url
    if key is not None:
        probe = KeyProbe(url=f"{url.rstrip('/')}/models", headers={"Authorization": f"Bearer {key}"})
        yield Host(owner="the model", url=url, env="OPENAI_BASE_URL", probe=probe)


async def _resolve(host: Host) -> Finding:
    name = urlsplit(host.url).hostname or ""
    try:
        await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        remedy = f"See {host.env} and this machine's DNS."
        return _found("warning", f"The name {name or host.url!r}, {host.owner}'s API, is not known here.", remedy)
    return _found("ok", f"{name}, {host.owner}'s API, is a known name.")


async def _ask(host: Host, probe: KeyProbe) -> AsyncIterator[Finding]:
    import httpx  # noqa: PLC0415 - only who asks pays for the import

    try:
        async with httpx.AsyncClient(timeout=_LIMIT_S) as client:
            answer = await client.get(probe.url, headers=dict(probe.headers))
    except httpx.HTTPError as error:
        yield _found("warning", f"{host.url}, {host.owner}'s API, does not answer: {type(error).__name__}.")
        return
    yield _judge(host, answer.status_code)
    if (skew_s := _skew_s(answer)) is not None and abs(skew_s) > _SKEW_LIMIT_S:
        says = f"This machine's clock is {skew_s:+.0f} s off that of {host.owner}'s API."
        yield Finding(check="clock", state="warning", says=says, remedy="Signatures are judged by it: set it right.")


def _judge(host: Host, status: int) -> Finding:
    if status < 300:
        return _found("ok", f"{host.url}, {host.owner}'s API, accepts our key.")
    if status in {400, 401, 402, 403}:
        return _found("failed", f"{host.url}, {host.owner}'s API, does not accept our key (HTTP {status}).")
    return _found("warning", f"{host.url}, {host.owner}'s API, answers with HTTP {status}.", f"See {host.env}.")


def _skew_s(answer: httpx.Response) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None


def _found(state: State, says: str, remedy: str | None = None) -> Finding:
    return Finding(check="hosts", state=state, says=says, remedy=remedy)
