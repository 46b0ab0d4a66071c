"""Apache Kafka's jars: fetched once, with Maven, from wherever Maven is set up to fetch."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.logs.errors import NoKafka

_POM = Path(__file__).with_name("pom.xml")
# A first fetch is 44 MB and took 12 s; a slow line is given time, a dead one has an end.
_FETCH_LIMIT_S = 600


def kafka_version() -> str:
    """The one version that tests run, whether as a container or as a Java process."""
    found = re.search(r"<kafka\.version>(.+)</kafka\.version>", _POM.read_text())
    assert found
    return found.group(1)


def fetch_jars() -> Path:
    """The folder with the jars that `pom.xml` names; filled the first time.

    :raises NoKafka: Maven is missing or cannot fetch them.
    """
    cache = Path(os.environ.get("POSTCALL_TEST_CACHE") or Path.home() / ".cache" / "postcall-kafka")
    jars = cache / hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    if not jars.is_dir():
        _fetch_into(jars)
    return jars


def _fetch_into(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoKafka("mvn, which fetches Apache Kafka, is not installed")
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent) as partial:
        _copy_dependencies(maven, Path(partial) / "jars")
        try:
            (Path(partial) / "jars").rename(jars)
        except OSError:
            if not jars.is_dir():  # another test run was quicker: as good as ours
                raise


def _copy_dependencies(maven: str, folder: Path) -> None:
    command = (maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder}")
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_FETCH_LIMIT_S)
    except subprocess.CalledProcessError as error:
        reason = next((line for line in error.stdout.splitlines() if "ERROR" in line), "no reason given")
        raise NoKafka(f"mvn could not fetch Apache Kafka: {reason[:300]}") from error
    except subprocess.TimeoutExpired as error:
        raise NoKafka(f"mvn did not fetch Apache Kafka within {_FETCH_LIMIT_S} s") from error
