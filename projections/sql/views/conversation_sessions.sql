-- conversation_sessions: one row per session: its place in its conversation. A session without a conversation_id is the
-- only one of its own. Join it to `calls` by session_id.
-- over: sessions
--
-- columns:
--   conversation_id  the shared id, or the session's own
--   session_number   which of the conversation's sessions it is, from 1, by their starts
--   session_count    how many sessions the conversation has
--   is_last          whether the conversation has no later session
--   began_at         its start, or else when it was first seen: what the sessions are put in order by

-- name: view
SELECT
    session_id,
    coalesce(conversation_id, session_id) AS conversation_id,
    row_number() OVER in_order AS session_number,
    count(*) OVER (PARTITION BY coalesce(conversation_id, session_id)) AS session_count,
    lead(session_id) OVER in_order IS NULL AS is_last,
    coalesce(started_at, first_seen_at) AS began_at
FROM sessions
WINDOW in_order AS (
    PARTITION BY coalesce(conversation_id, session_id)
    ORDER BY coalesce(started_at, first_seen_at), session_id
);
