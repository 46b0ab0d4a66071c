-- conversations: the sessions that share a conversation_id, as one row; a session without one stands alone.
-- Which of them a session is, and whether the last, is in `conversation_sessions`.
-- over: sessions
--
-- columns:
--   conversation_id  the shared id, or the session's own
--   session_count    its sessions
--   started_at       start of the first
--   ended_at         end of the last
--   duration_ms      of all sessions together
--   turn_count       of all sessions together
--   first_agent_id   agent of the first session of which one is known
--   from_number      caller of the first session of which one is known
--   session_ids      its sessions in order

-- name: view
SELECT
    coalesce(conversation_id, session_id) AS conversation_id,
    count(*) AS session_count,
    min(started_at) AS started_at,
    max(ended_at) AS ended_at,
    sum(duration_ms)::BIGINT AS duration_ms,
    sum(turn_count)::BIGINT AS turn_count,
    arg_min(agent_id, (coalesce(started_at, first_seen_at), session_id)) AS first_agent_id,
    arg_min(from_number, (coalesce(started_at, first_seen_at), session_id)) AS from_number,
    list(session_id ORDER BY coalesce(started_at, first_seen_at), session_id) AS session_ids
FROM sessions
GROUP BY coalesce(conversation_id, session_id);
