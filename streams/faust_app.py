"""A stage's Faust app: the settings under which Faust keeps the promises that we build on.

Faust is used for what it does well: the consumer group, fetching in a thread of its own, handing records over in
order, and committing what was acknowledged. Its tables, web server, leader election and producer are not used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import faust
from faust.tables import TableManager
from faust.transport.drivers.aiokafka import Consumer

from postcall.log_connection import LogConnection
from postcall.topics import MAX_RECORD_BYTES
from streams.assignments import HANDOVER_LIMIT_S
from streams.predecessor import client_id_of, until_predecessor_left
from streams.stage import Stage
from streams.vigil import SESSION_TIMEOUT_S

_COMMIT_INTERVAL_S = 0.5
# The others hear of a rebalance only in the answer to a heartbeat: this is what comes on top at each.
_HEARTBEAT_INTERVAL_S = 1.0
# How long the group waits for a member that lives and does not join: longer than a member lets its slow work end.
_REBALANCE_TIMEOUT_S = HANDOVER_LIMIT_S + 10.0
# What lies between fetch and stage. A rebalance drops it and reads it again.
_BUFFERED_RECORDS = 500


class _NoTables(TableManager):  # type: ignore[misc]  # Faust has no types
    """Faust waits a second for tables to be declared before it joins its group; here there are none."""

    logger = logging.getLogger("faust.tables")  # else its lines come under our name

    async def sleep(self, n: Any) -> None:  # noqa: ARG002 - Faust's signature
        await asyncio.sleep(0)


class _CommittingConsumer(Consumer):  # type: ignore[misc]  # as above
    """Finishes and commits what was handed out before it gives partitions away, and reads on where it was committed.

    Faust forgets the acknowledgements first and commits then, so the next owner would take once more whatever was
    taken since the last commit. And what it fetched while it was not to, as at a rebalance, it drops and seeks back to
    the committed offset: aiokafka does not do that where this is 0, so the first records of a partition would be lost.
    """

    logger = logging.getLogger("faust.transport")  # as above

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        if revoked:
            self.stop_flow()
            self.app.flow_control.suspend()
            self.app.flow_control.clear()
            await self.wait_empty()
            # A commit that was under way may have been taken for the last one.
            await self.commit()
        await super().on_partitions_revoked(revoked)

    async def wait_empty(self) -> None:
        if not self.app.has_given_up:
            await super().wait_empty()

    def give_up(self) -> None:
        """Wait no longer for what was handed out. It is not acknowledged, so it is not committed."""
        self._unacked_messages.clear()

    async def seek_to_committed(self) -> Mapping[Any, int]:
        committed: Mapping[Any, int] = await super().seek_to_committed()
        if beginnings := {place: offset for place, offset in committed.items() if offset == 0}:
            await self._thread.seek_wait(beginnings)
        return committed


class _OrderlyApp(faust.App):  # type: ignore[misc]  # as above
    """Gives partitions away in order, and leaves its group in order, also in the midst of a rebalance."""

    logger = logging.getLogger("faust.app")  # as above
    #: Awaited before the app joins its group.
    before_join: Callable[[], Awaitable[None]]
    has_given_up = False

    async def on_first_start(self) -> None:
        await self.before_join()
        await super().on_first_start()

    def _new_transport(self) -> Any:
        transport = super()._new_transport()
        transport.Consumer = _CommittingConsumer
        return transport

    def _on_rebalance_when_stopped(self) -> None:
        """Faust would close its consumer from the wrong thread, and so never tell the log that it has left."""


def give_up(app: faust.App) -> None:
    """Let an app stop though what it handed out is not finished: Faust would wait for that, and cannot be cancelled."""
    app.has_given_up = True
    app.consumer.give_up()


def build_app(
    stage: Stage, body: Callable[[Any], Awaitable[None]], *, log: LogConnection, directory: Path
) -> faust.App:
    """The app of one stage, with `body` as its only agent. Make it in the event loop that is to run it.

    - `concurrency=1`: with more, Faust commits past a record that is still being worked on.
    - `stream_wait_empty`: a rebalance waits for what was handed out, so no two processes work on one record.
    - No standby replicas, so that the group's protocol is Kafka's own `roundrobin` and not Faust's.
    - `env={}`: otherwise variables such as `BROKER_URL` or `APP_DATADIR` in the user's environment would win.
    - `none`: where the log no longer has what comes next, the app fails, and nothing is skipped silently. So the group
      must have committed offsets before (see `streams.log_check`).
    """
    datadir = directory / "faust" / stage.name
    datadir.mkdir(parents=True, exist_ok=True)
    client_id = client_id_of(stage.name, directory)
    app = _OrderlyApp(
        stage.group,
        env={},
        broker=[f"kafka://{server.strip()}" for server in log.bootstrap_servers.split(",")],
        broker_credentials=_credentials(log),
        broker_client_id=client_id,
        datadir=datadir,
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
        TableManager=_NoTables,
        table_standby_replicas=0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=True,
        stream_buffer_maxsize=_BUFFERED_RECORDS,
        broker_commit_interval=_COMMIT_INTERVAL_S,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=_HEARTBEAT_INTERVAL_S,
        broker_rebalance_timeout=_REBALANCE_TIMEOUT_S,
        broker_max_poll_records=_BUFFERED_RECORDS,
        consumer_auto_offset_reset="none",
        consumer_max_fetch_size=MAX_RECORD_BYTES,
        producer_max_request_size=MAX_RECORD_BYTES,
    )
    app.before_join = partial(
        until_predecessor_left, stage.group, client_id, log=log, limit_s=SESSION_TIMEOUT_S + _HEARTBEAT_INTERVAL_S
    )
    topic = app.topic(stage.reads.name, key_serializer="raw", value_serializer="raw")
    app.agent(topic, name=stage.name, concurrency=1)(body)
    return app


def _credentials(log: LogConnection) -> faust.auth.Credentials | None:
    """What the log asks for, in Faust's words."""
    options = log.client_options()
    ssl_context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            mechanism=options["sasl_mechanism"],
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=ssl_context,
        )
    return faust.SSLCredentials(ssl_context) if ssl_context is not None else None
