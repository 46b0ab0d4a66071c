"""What the warehouse is made of: the shipped SQL files, and those of a user's own folder.

A user's file is a projection (`schema`, `apply`, perhaps a `view`) or a view over other views (`view` alone). One that
cannot be used is refused by file and line, and the others are used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from postcall.topics import DEAD_LETTERS, DECISIONS, INSIGHTS, RECORDINGS, WEBHOOKS, events_topic
from projections.errors import BrokenSqlFile
from projections.sql_files import SqlFile, check_kinds, load_sql, read_own_file

#: The inputs, and the temporary table that each is opened into.
INPUT_TABLES: Final[Mapping[str, str]] = {
    "events": "events",
    "recordings": "recording_outcomes",
    "insights": "analysis_outcomes",
    "dead_letters": "dead_letter_events",
    "decisions": "dead_letter_decisions",
    "webhooks": "deliveries",
}
_INPUTS_OF_TOPICS: Final = {
    RECORDINGS.name: "recordings",
    INSIGHTS.name: "insights",
    DEAD_LETTERS.name: "dead_letters",
    DECISIONS.name: "decisions",
    WEBHOOKS.name: "webhooks",
}
_EVENTS_TOPIC: Final = re.compile(re.escape(events_topic(1).name.removesuffix("1")) + r"\d+")
#: Shipped tables that follow topics.
PROJECTIONS: Final = ("sessions", "transcripts", "recordings", "insights", "dead_letters", "webhooks")
#: Shipped views, in the order in which they build on each other.
VIEWS: Final = (
    "current_insights",
    "insight_summary",
    "calls",
    "conversations",
    "conversation_sessions",
    "daily_metrics",
    "agent_metrics",
    "costs",
)
#: Also taken: the public table of checkpoints, and what a batch is called.
_TAKEN: Final = frozenset({*PROJECTIONS, *VIEWS, "checkpoints", "base", "main", "temp", "batch", "progress"})
#: What statements of a user's may be: none that ends a transaction, and none that is not about rows and tables.
_KINDS: Final[Mapping[str, frozenset[str]]] = {
    "schema": frozenset({"CREATE"}),
    "apply": frozenset({"CREATE", "INSERT", "UPDATE", "DELETE", "MERGE_INTO"}),
    "view": frozenset({"SELECT"}),
}
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


def input_of(topic: str) -> str | None:
    """The input whose records a topic holds; events of every generation are one input."""
    return "events" if _EVENTS_TOPIC.fullmatch(topic) else _INPUTS_OF_TOPICS.get(topic)


def input_topics(generation: int) -> dict[str, str]:
    """The topic behind each input, for one generation of events."""
    return {"events": events_topic(generation).name} | {name: topic for topic, name in _INPUTS_OF_TOPICS.items()}


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """The files of a warehouse, for one generation of events.

    :param refusals: files of the user's that cannot be used.
    """

    generation: int
    projections: Mapping[str, SqlFile]
    views: Mapping[str, SqlFile]
    refusals: tuple[BrokenSqlFile, ...] = ()

    @cached_property
    def input_topics(self) -> dict[str, str]:
        """The topic behind each input."""
        return input_topics(self.generation)

    @cached_property
    def topics(self) -> frozenset[str]:
        """Every topic that a projection follows."""
        return frozenset(topic for name in self.projections for topic in self.topics_of(name))

    def topics_of(self, projection: str) -> frozenset[str]:
        """The topics that a projection follows."""
        return frozenset(self.input_topics[name] for name in self.projections[projection].reads)

    @cached_property
    def refused_names(self) -> frozenset[str]:
        """What the refused files would define."""
        return frozenset(Path(refusal.path).stem for refusal in self.refusals)

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """By projection: changes whenever its rows would, with its statements, those of its inputs, or its topics."""
        return {name: self._fingerprint(name) for name in self.projections}

    def _fingerprint(self, projection: str) -> str:
        file = self.projections[projection]
        inputs = [load_input(name) for name in sorted(file.reads)]
        kinds = [f"{name}: {sorted(kinds)}" for name, kinds in sorted(file.reads.items())]
        parts = [
            *(file[section] for section in ("schema", "apply")),
            *(each[section] for each in inputs for section in ("open", "set_aside")),
            *kinds,
            *sorted(self.topics_of(projection)),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def without(self, refusal: BrokenSqlFile) -> Definitions:
        """These, but for a file that was found to be of no use."""
        return Definitions(
            generation=self.generation,
            projections={name: file for name, file in self.projections.items() if file.path != refusal.path},
            views={name: file for name, file in self.views.items() if file.path != refusal.path},
            refusals=(*self.refusals, refusal),
        )


@dataclass(frozen=True, kw_only=True)
class DefinitionsSource:
    """Where definitions come from: the shipped files, and a folder that may change at any time.

    :param folder: need not be there.
    """

    folder: Path | None = None
    generation: int = 1

    def load(self) -> Definitions:
        """Read the files as they are now."""
        projections = {name: load_sql(name) for name in PROJECTIONS}
        views = {name: load_sql(f"views/{name}") for name in VIEWS}
        refusals = []
        for path in self._paths():
            try:
                if path.exists() and not path.is_file():
                    # Reading a pipe would wait for ever for who writes into it.
                    raise BrokenSqlFile(path=str(path), line=1, reason="It cannot be read: it is no file.")
                file = read_own_file(path)
                _check_own_file(file)
            except BrokenSqlFile as refusal:
                refusals.append(refusal)
            except OSError as error:
                refusals.append(BrokenSqlFile(path=str(path), line=1, reason=f"It cannot be read: {error.strerror}."))
            else:
                (projections if file.reads else views)[file.name] = file
        return Definitions(generation=self.generation, projections=projections, views=views, refusals=tuple(refusals))

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Changes when a file of the folder does."""
        found = []
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                continue
            found.append((path.name, status.st_mtime_ns, status.st_size))
        return tuple(found)

    def _paths(self) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.glob("*.sql") if not path.name.startswith("."))


#: Without a folder of a user's.
SHIPPED_ONLY: Final = DefinitionsSource()


def load_input(name: str) -> SqlFile:
    """The file that parses one input."""
    return load_sql(f"inputs/{name}")


def check_name(name: str) -> None:
    """Refuse a name that no projection of a user's may have.

    :raises ValueError: says why.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("The name must be lower-case letters, digits and _, and begin with a letter.")
    if name in _TAKEN or name in INPUT_TABLES.values():
        raise ValueError(f"The name {name} is taken by a table that postcall makes itself.")


def _check_own_file(file: SqlFile) -> None:
    _check_sections(file)
    for section, kinds in _KINDS.items():
        if section in file.sections:
            check_kinds(file, section, kinds)


def _check_sections(file: SqlFile) -> None:
    needed = {"schema", "apply"} if file.reads else {"view"}
    try:
        check_name(file.name)
        if missing := sorted(needed - set(file.sections)):
            raise ValueError(
                f"It has no section `-- name: {missing[0]}`. A projection says `-- reads: events (SessionEnded)` in "
                f"its header and has the sections schema and apply; a view has the section view alone."
            )
        if unknown := sorted(set(file.sections) - {"schema", "apply", "view"}):
            raise ValueError(f"It has a section {unknown[0]!r}; there are schema, apply and view.")
        if strange := sorted(set(file.reads) - set(INPUT_TABLES)):
            raise ValueError(f"It reads {strange[0]!r}; there are {', '.join(INPUT_TABLES)}.")
    except ValueError as error:
        raise BrokenSqlFile(path=file.path, line=1, reason=str(error)) from error
