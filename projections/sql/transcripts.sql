-- transcripts: one row per turn of the session's winning transcript.
-- reads: events (SessionEnded, SessionFetched)
--
-- columns:
--   session_id  the session: one connection, one transcript, one recording
--   seq         place in the transcript, from 1
--   role        `user`, `assistant` or `unknown`
--   text        what was said
--   spoken_at   when, if known
--   latency_ms  from the caller's last word to the agent's first, if known
--
-- Turns are appended when their record becomes its session's winner, and the view shows those of the winner. A record's
-- rank only ever rises, so the same turns are never appended twice. No index enforces the key: it would cost twenty
-- times the time.

-- name: schema
CREATE TABLE transcript_winners (
    session_id VARCHAR PRIMARY KEY,
    authority TINYINT,
    turn_count INTEGER,
    content_hash VARCHAR
);
CREATE TABLE transcript_turns (
    session_id VARCHAR,
    content_hash VARCHAR,
    seq INTEGER,
    role VARCHAR,
    text VARCHAR,
    spoken_at TIMESTAMPTZ,
    latency_ms BIGINT
);

-- name: apply
CREATE OR REPLACE TEMP TABLE new_winners AS
SELECT e.session_id, e.authority, coalesce(len(e.transcript), 0) AS turn_count, e.content_hash, e.transcript
FROM events AS e
LEFT JOIN transcript_winners AS kept USING (session_id)
WHERE e.authority > 0
    AND (
        kept.session_id IS NULL
        OR (e.authority, coalesce(len(e.transcript), 0), e.content_hash)
            > (kept.authority, kept.turn_count, kept.content_hash)
    )
QUALIFY row_number() OVER (
    -- Spelled out: the bare name would be that of the winner until now.
    PARTITION BY e.session_id ORDER BY e.authority DESC, coalesce(len(e.transcript), 0) DESC, e.content_hash DESC
) = 1;

INSERT INTO transcript_turns
SELECT session_id, content_hash, seq, turn.role, turn.text, turn.spoken_at, turn.latency_ms
FROM (
    SELECT session_id, content_hash, unnest(transcript) AS turn, generate_subscripts(transcript, 1) AS seq
    FROM new_winners
);

INSERT INTO transcript_winners
SELECT session_id, authority, turn_count, content_hash
FROM new_winners
ON CONFLICT DO UPDATE SET
    authority = excluded.authority,
    turn_count = excluded.turn_count,
    content_hash = excluded.content_hash;

DROP TABLE new_winners;

-- name: view
SELECT t.session_id, t.seq, t.role, t.text, t.spoken_at, t.latency_ms
FROM transcript_turns AS t
SEMI JOIN transcript_winners AS w ON t.session_id = w.session_id AND t.content_hash = w.content_hash;
