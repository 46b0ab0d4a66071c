"""The stages by name, put together from the settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from postcall.settings import Configuration, Settings
from streams.slow_stage import SlowStage
from streams.stage import Stage
from streams.transform import TransformStage


def build_stage(name: str, configuration: Configuration, directory: Path) -> Stage:
    """A stage, made inside of the event loop that will run it; its heavy imports are only its own.

    :param directory: where it keeps what it remembers of the log.
    :raises PostcallError: a setting or the stage's files cannot be used.
    """
    return _BUILDERS[name](configuration, directory)


def _normalize(configuration: Configuration, directory: Path) -> Stage:
    from postcall.sources import load_sources  # noqa: PLC0415 - each process loads only its own stage
    from streams.normalize import normalize  # noqa: PLC0415 - as above

    derive = partial(normalize, sources=load_sources(configuration))
    return TransformStage("normalize", derive, log=configuration.read(Settings).log, directory=directory)


def _plan(configuration: Configuration, directory: Path) -> Stage:
    from streams.analyzers import ANALYZERS  # noqa: PLC0415 - as above
    from streams.plan import plan  # noqa: PLC0415 - as above

    derive = partial(plan, analyzers=ANALYZERS)
    return TransformStage("plan", derive, log=configuration.read(Settings).log, directory=directory)


def _recordings(configuration: Configuration, directory: Path) -> Stage:
    from streams.recordings import RecordingsWorker  # noqa: PLC0415 - as above

    return _slow(RecordingsWorker(configuration), configuration, directory)


def _insights(configuration: Configuration, directory: Path) -> Stage:
    from streams.insights import InsightsWorker  # noqa: PLC0415 - as above

    return _slow(InsightsWorker(configuration), configuration, directory)


def _slow(worker: Any, configuration: Configuration, directory: Path) -> Stage:
    return SlowStage(worker, log=configuration.read(Settings).log, directory=directory)


_BUILDERS: Final[dict[str, Callable[[Configuration, Path], Stage]]] = {
    "normalize": _normalize,
    "plan": _plan,
    "recordings": _recordings,
    "insights": _insights,
}
