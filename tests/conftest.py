"""What every room's tests may use: a real log, empty, of their own.

A test takes `log_address`, which is an embedded log. One that states what any log must do for us is marked `both_logs`
and runs twice: the second time on Apache Kafka (`-m "not kafka"` leaves those runs out). One that runs a whole pipeline
takes `kafka_address` instead: there is none the first time, and the pipeline starts its own embedded log.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.logs.counting import EMBEDDED, note_log, summarize
from tests.logs.embedded import embedded_log
from tests.logs.errors import NoKafka, NotOurs
from tests.logs.real_kafka import RealKafka, real_kafka

# How long an example takes says how busy the machine is, and nothing of the law.
hypothesis.settings.register_profile("laws", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("laws")

# Found before the first test, so that no test's time limit has to hold for a fetch over a slow line.
_KAFKA = pytest.StashKey[RealKafka | NoKafka]()


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers."""
    config.addinivalue_line(
        "markers", "both_logs: holds on the embedded log and on Apache Kafka; `log_address` is each"
    )
    config.addinivalue_line("markers", "embedded_only(reason): within a module of both_logs, holds on the embedded log")
    config.addinivalue_line("markers", "kafka: runs on Apache Kafka")
    config.addinivalue_line("markers", "embedded_log: starts embedded logs itself")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run twice what holds on both logs."""
    is_marked = metafunc.definition.get_closest_marker("both_logs") is not None
    is_excepted = metafunc.definition.get_closest_marker("embedded_only") is not None
    if is_marked and not is_excepted:
        logs = ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)]
        for fixture in {"log_address", "kafka_address"} & set(metafunc.fixturenames):
            metafunc.parametrize(fixture, logs, indirect=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find an Apache Kafka if a test needs one."""
    if session.config.option.collectonly or not any(item.get_closest_marker("kafka") for item in session.items):
        return
    stack = contextlib.ExitStack()
    try:
        session.config.stash[_KAFKA] = stack.enter_context(real_kafka(_folder_of_the_run(session.config)))
    except NoKafka as reason:
        session.config.stash[_KAFKA] = reason
    except NotOurs as error:
        raise pytest.UsageError(str(error)) from error
    session.config.add_cleanup(stack.close)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a Kafka where there is none: here and not in a fixture, so that all are told in one line.

    A skip is a failure where `POSTCALL_TEST_REQUIRE_KAFKA` is set.
    """
    if item.get_closest_marker("embedded_log"):
        note_log(item, EMBEDDED)
    kafka = item.config.stash.get(_KAFKA, None)
    if isinstance(kafka, NoKafka) and item.get_closest_marker("kafka"):
        message = f"No Apache Kafka for tests: {kafka}"
        if os.environ.get("POSTCALL_TEST_REQUIRE_KAFKA"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say on which logs the tests ran, and what they measured."""
    reports = (report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome))
    for line in summarize(reports):
        terminalreporter.write_line(line)


@pytest.fixture
def log_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`127.0.0.1:PORT` of an empty log, which is this test's alone. Topics have to be created."""
    if _wants_kafka(request):
        with _emptied_kafka(request) as address:
            yield address
    else:
        note_log(request.node, EMBEDDED)
        with embedded_log(tmp_path_factory.mktemp("embedded-log")) as address:
            yield address


@pytest.fixture
def kafka_address(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """`127.0.0.1:PORT` of an empty Apache Kafka, which is this test's alone; None = use an embedded log."""
    if _wants_kafka(request):
        with _emptied_kafka(request) as address:
            yield address
    else:
        note_log(request.node, EMBEDDED)
        yield None


def _wants_kafka(request: pytest.FixtureRequest) -> bool:
    return bool(getattr(request, "param", "embedded") == "kafka")


@contextlib.contextmanager
def _emptied_kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    kafka = request.config.stash[_KAFKA]
    assert isinstance(kafka, RealKafka), "its absence is told before"
    note_log(request.node, kafka.name)
    with kafka.emptied() as address:
        yield address


def _folder_of_the_run(config: pytest.Config) -> Path:
    base = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # the fixture is not there yet
    return Path(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)
