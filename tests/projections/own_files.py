"""A user's own SQL files: the safe form that `postcall new projection` writes, and some that only add up."""

from __future__ import annotations

from pathlib import Path

from projections.new_projection import write_projection

#: Appends whatever it reads: applied twice, the rows would be there twice.
APPENDED = """\
-- turns_taken: one row per turn that the vendor told of, in the order of the log.
-- reads: events (TurnReceived)

-- name: schema
CREATE TABLE turns_taken (kafka_partition INTEGER, kafka_offset BIGINT, session_id VARCHAR);

-- name: apply
INSERT INTO turns_taken
SELECT kafka_partition, kafka_offset, session_id
FROM events;
"""

#: Counts on: applied twice, it would count twice.
COUNTED = """\
-- told: one row per session, with how often its end and its recording were told of.
-- reads: events (SessionEnded, SessionFetched), recordings (RecordingStored)

-- name: schema
CREATE TABLE told (session_id VARCHAR PRIMARY KEY, ends INTEGER, recordings INTEGER);

-- name: apply
CREATE OR REPLACE TEMP TABLE told_now AS
SELECT session_id, count(*) FILTER (WHERE what = 'end') AS ends, count(*) FILTER (WHERE what = 'file') AS recordings
FROM (
    SELECT session_id, 'end' AS what FROM events
    UNION ALL
    SELECT session_id, 'file' AS what FROM recording_outcomes
)
GROUP BY session_id;

INSERT INTO told AS kept
FROM told_now
ON CONFLICT DO UPDATE SET ends = kept.ends + excluded.ends, recordings = kept.recordings + excluded.recordings;

-- name: view
SELECT session_id, ends, recordings
FROM told;
"""

#: A view over another one of theirs and one of ours.
VIEWED = """\
-- told_often: sessions whose end was told of more than once.
-- over: told, sessions

-- name: view
SELECT s.session_id, s.turn_count, t.ends
FROM told AS t
JOIN sessions AS s USING (session_id)
WHERE t.ends > 1;
"""


def write_files(folder: Path) -> Path:
    """All of them, with the safe form as `refunds`; returns the folder."""
    write_projection("refunds", folder)
    for name, text in (("turns_taken", APPENDED), ("told", COUNTED), ("told_often", VIEWED)):
        (folder / f"{name}.sql").write_text(text, "utf-8")
    return folder


def one_table(name: str, *, apply: str = "", schema: str = "", view: str = "", reads: str = "") -> str:
    """The text of a projection that keeps which sessions have ended; parts of it can be other ones."""
    sections = {
        "schema": schema or f"CREATE TABLE {name} (session_id VARCHAR, number INTEGER);",
        "apply": apply or f"INSERT INTO {name} SELECT session_id, 1 FROM events;",  # noqa: S608 - a test's own name
        "view": view,
    }
    written = "\n".join(f"-- name: {section}\n{text}\n" for section, text in sections.items() if text)
    return f"-- {name}: of a test.\n-- reads: {reads or 'events (SessionEnded)'}\n\n{written}"
