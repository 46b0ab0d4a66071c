-- {name}: one row per session, by who said the word "refund".
-- reads: events (SessionEnded, SessionFetched)
--
-- columns:
--   session_id  the session
--   is_wanted   whether the caller said it
--   is_offered  whether the agent did
--
-- Events may come twice, in any order and in any batches; the rows are the same if the batch is first reduced to one
-- record per key by rank, and a kept row gives way to a greater rank only. `postcall topics` and docs/projections.md
-- say what there is to read. Saved, the file is taken up at once: the table is made from the log's beginning, and takes
-- the place of the one before when it has caught up.

-- name: schema
CREATE TABLE {name} (
    session_id VARCHAR PRIMARY KEY,
    authority TINYINT,
    turn_count INTEGER,
    content_hash VARCHAR,
    is_wanted BOOLEAN,
    is_offered BOOLEAN
);

-- name: apply
INSERT INTO {name} AS kept BY NAME
SELECT
    session_id, authority, coalesce(len(transcript), 0) AS turn_count, content_hash,
    len(list_filter(transcript, lambda turn: turn.role = 'user' AND turn.text ILIKE '%refund%')) > 0 AS is_wanted,
    len(list_filter(transcript, lambda turn: turn.role = 'assistant' AND turn.text ILIKE '%refund%')) > 0 AS is_offered
FROM events
WHERE authority > 0
QUALIFY row_number() OVER (
    PARTITION BY session_id ORDER BY authority DESC, turn_count DESC, content_hash DESC
) = 1
ON CONFLICT DO UPDATE SET
    authority = excluded.authority,
    turn_count = excluded.turn_count,
    content_hash = excluded.content_hash,
    is_wanted = excluded.is_wanted,
    is_offered = excluded.is_offered
WHERE (excluded.authority, excluded.turn_count, excluded.content_hash)
    > (kept.authority, kept.turn_count, kept.content_hash);

-- name: view
SELECT session_id, is_wanted, is_offered
FROM {name};
