"""The pipeline under load for as long as one likes, while workers join, leave, die and sleep, and the log fails.

Two doors, three trees of stages and the projections run as on several machines. A ledger keeps what was accepted, each
download and each paid call. In the end nothing may be missing, and nothing may have been done twice but what was in
flight when somebody was killed, slept through its session, or lost the log. All that happens follows from the seed.

    python -m bench.soak [--minutes 10] [--log kafka] [--seed N] [--deliveries-per-second 12]

Prints one table, and exits with 1 when the ledger is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from postcall.topics import INSIGHTS, RECORDINGS, STAGE_INPUTS, WEBHOOKS, Topic, stage_group
from tests.faults.chaos import Chaos, LogNode
from tests.faults.committed import OffsetWatch, watched_offsets
from tests.faults.effects import Effects
from tests.faults.embedded_node import EmbeddedNode
from tests.faults.ledger import Ledger
from tests.faults.oracle import find_lost, hold_log, hold_rebuild, hold_tables, read_outcomes, read_topic
from tests.faults.pipelines import Pipeline
from tests.logs.java_node import JavaNode
from tests.scaling.cluster import Cluster, running_cluster

_NAMES = ("ingest-a", "ingest-b", "streams-a", "streams-b", "streams-c", "projections")
# A call is told in about this many deliveries, and sessions that were begun are told to their end.
_DELIVERIES_A_CALL = 6
_SETTLE_LIMIT_S = 300


class Verdict:
    """The table, line by line."""

    def __init__(self) -> None:
        self.is_good = True

    def say(self, what: str, found: object, *, is_good: bool = True) -> None:
        """One line; one that is not good breaks the ledger."""
        self.is_good &= is_good
        print(f"{what:58} {found}{'' if is_good else '   BROKEN'}")

    @contextlib.contextmanager
    def holding(self, what: str) -> Iterator[None]:
        """One line of whether the block holds."""
        try:
            yield
        except AssertionError as error:
            self.say(what, f"no: {error}", is_good=False)
        else:
            self.say(what, "yes")


def main() -> None:
    """Soak, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--log", choices=("embedded", "kafka"), default="embedded", help="which log to run on")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--deliveries-per-second", type=float, default=12)
    parser.add_argument("--keep", type=Path, help="keep what all processes say in this folder")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("tests").setLevel(logging.INFO)
    # What the log's own clients think of its death is of no interest.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    verdict = Verdict()
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        log = stack.enter_context(_running_log(options.log, folder / "log"))
        print(f"seed {options.seed}, {options.minutes:g} minutes on {log.name}", flush=True)
        asyncio.run(soak(log, folder, options, verdict))
    sys.exit(not verdict.is_good)


@contextlib.contextmanager
def _running_log(kind: str, folder: Path) -> Iterator[JavaNode | EmbeddedNode]:
    folder.mkdir()
    node = JavaNode(folder) if kind == "kafka" else EmbeddedNode(folder)
    with contextlib.closing(node):
        node.start()
        yield node


async def soak(log: LogNode, folder: Path, options: argparse.Namespace, verdict: Verdict) -> None:
    """Run it all, and judge it."""
    rate_per_s = options.deliveries_per_second
    seconds = 60 * options.minutes
    calls = round(100 + seconds * rate_per_s / _DELIVERIES_A_CALL)
    async with running_cluster(log.address, folder / "data", calls=calls, seed=options.seed, names=_NAMES) as cluster:
        chaos = Chaos(cluster.services, log, seed=options.seed)
        groups = [stage_group(stage) for stage in STAGE_INPUTS]
        async with watched_offsets(cluster.log, groups) as watch:
            async with cluster.load(rate_per_s=rate_per_s) as load:
                await chaos.reign(until_s=time.monotonic() + seconds)
            for what, times in sorted(chaos.happened.items()):
                verdict.say(what, times)
            await _judge(cluster, chaos, load.ledger, watch, verdict)


async def _judge(cluster: Cluster, chaos: Chaos, ledger: Ledger, watch: OffsetWatch, verdict: Verdict) -> None:
    async with cluster.looked_at() as pipeline:
        with verdict.holding("everything settles"):
            await pipeline.until_settled(timeout_s=_SETTLE_LIMIT_S)
        stored = await read_topic(cluster.log, WEBHOOKS.name)
        lost = len(find_lost(stored, ledger))
        verdict.say("deliveries accepted", len(ledger.accepted))
        verdict.say("deliveries lost", lost, is_good=not lost)
        with verdict.holding("the log holds what was accepted, and nothing else"):
            hold_log(stored, ledger)
        await _judge_effects(pipeline, "downloads", cluster.vendor.downloads, RECORDINGS, chaos, verdict)
        await _judge_effects(pipeline, "paid calls", cluster.model.calls, INSIGHTS, chaos, verdict)
        await _judge_letters(pipeline, ledger, verdict)
        went_back = len(watch.went_back)
        verdict.say(f"committed offsets that went back, in {watch.looks} looks", went_back, is_good=not went_back)
        with verdict.holding("each table has each session once, with all that was told"):
            await hold_tables(pipeline, ledger, webhooks=len(stored))
        with verdict.holding("tables made again from the log have equal hashes"):
            await hold_rebuild(pipeline)


async def _judge_effects(
    pipeline: Pipeline, kind: str, effects: Effects, topic: Topic, chaos: Chaos, verdict: Verdict
) -> None:
    outcomes = await read_outcomes(pipeline.log, topic)
    at_deaths = set(effects.in_flight(chaos.deaths, outcomes))
    at_outages = set(effects.in_flight(chaos.outages, outcomes)) - at_deaths
    doubled = set(effects.doubled())
    unexplained = doubled - at_deaths - at_outages
    verdict.say(kind, len(effects.made))
    verdict.say(f"{kind} in flight when somebody died or fell asleep", len(at_deaths))
    verdict.say(f"{kind} made twice of these", len(doubled & at_deaths))
    verdict.say(f"{kind} made twice, in flight when the log was away", len(doubled & at_outages))
    verdict.say(f"{kind} made twice, and not in flight", len(unexplained), is_good=not unexplained)
    for effect in unexplained:
        print(f"  {effect}", file=sys.stderr)


async def _judge_letters(pipeline: Pipeline, ledger: Ledger, verdict: Verdict) -> None:
    """What was cut off on its way is told of, and nothing else."""
    broken = len({request.delivery.body for request in ledger.accepted if request.delivery.is_broken})
    (row,) = await pipeline.api.rows("SELECT count(*) AS n FROM dead_letters")
    unexpected = row["n"] - broken
    verdict.say("dead letters but for the bodies that were cut off", unexpected, is_good=not unexpected)


if __name__ == "__main__":
    main()
