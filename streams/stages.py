"""The stages by name, put together from the settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from postcall.generations import Generation
from postcall.settings import Configuration, Settings
from postcall.topics import events_topic
from streams.slow_stage import SlowStage
from streams.stage import Stage
from streams.transform import Derive, TransformStage
from streams.worker import Worker


def build_stage(
    name: str, configuration: Configuration, directory: Path, *, generation: Generation | None = None
) -> Stage:
    """A stage, made inside of the event loop that will run it; its heavy imports are only its own.

    :param directory: where it keeps what it remembers of the log.
    :param generation: the live one, for the stages of `GENERATION_STAGES`; None = the first.
    :raises PostcallError: a setting or the stage's files cannot be used.
    """
    log = configuration.read(Settings).log
    if name in DERIVATIONS:
        derive = DERIVATIONS[name](configuration, generation.number if generation else 1)
        return TransformStage(name, derive, log=log, directory=directory, generation=generation)
    return SlowStage(_WORKERS[name](configuration), log=log, directory=directory)


def _normalize(configuration: Configuration, generation: int) -> Derive:
    from postcall.sources import load_sources  # noqa: PLC0415 - each process loads only its own stage
    from streams.normalize import normalize  # noqa: PLC0415 - as above

    return partial(normalize, sources=load_sources(configuration), topic=events_topic(generation))


def _plan(configuration: Configuration, generation: int) -> Derive:  # noqa: ARG001 - all are made alike
    from streams.analyzers import ANALYZERS  # noqa: PLC0415 - as above
    from streams.plan import plan  # noqa: PLC0415 - as above

    return partial(plan, analyzers=ANALYZERS)


def _recordings(configuration: Configuration) -> Worker[Any]:
    from streams.recordings import RecordingsWorker  # noqa: PLC0415 - as above

    return RecordingsWorker(configuration)


def _insights(configuration: Configuration) -> Worker[Any]:
    from streams.insights import InsightsWorker  # noqa: PLC0415 - as above

    return InsightsWorker(configuration)


#: The stages that derive records from records, and what each derives in a generation.
DERIVATIONS: Final[dict[str, Callable[[Configuration, int], Derive]]] = {"normalize": _normalize, "plan": _plan}
_WORKERS: Final[dict[str, Callable[[Configuration], Worker[Any]]]] = {"recordings": _recordings, "insights": _insights}
