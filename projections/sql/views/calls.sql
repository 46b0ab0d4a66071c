-- calls: one wide row per session: the session, its place in its conversation, its recording and its current summary.
-- Start here.
-- over: sessions, recordings, insight_summary
--
-- columns:
--   session_number          which of its conversation's sessions it is, from 1, by their starts
--   is_last_in_conversation  whether the conversation has no later session
--   summary_model           the model that wrote the summary; `local` = the analyzer without a network
--   summary_is_stale        the transcript has changed since
--   recording_state         as `recordings.state`; empty = nothing known yet
--   recording_uri           as `recordings.uri`
--   recording_reason        why there is none
--
-- The numbering is joined rather than a window over the whole: so one session's row needs only one session's recording
-- and summary.

-- name: view
SELECT
    s.session_id, s.source, s.conversation_id, n.session_number, n.is_last_in_conversation, s.agent_id, s.started_at,
    s.ended_at, s.duration_ms, s.latency_ms, s.user_speech_ms, s.agent_speech_ms, s.from_number, s.from_country,
    s.to_number, s.to_country, s.country_code, s.ip_address, s.language, s.turn_count,
    i.summary, i.intent, i.sentiment, i.customer_name, i.follow_ups, i.model AS summary_model,
    i.is_stale AS summary_is_stale,
    r.state AS recording_state, r.uri AS recording_uri, r.recording_duration_ms, r.reason AS recording_reason,
    s.recording_expected, s.metadata, s.extensions, s.first_seen_at, s.updated_at
FROM sessions AS s
LEFT JOIN (
    SELECT
        session_id,
        row_number() OVER in_conversation AS session_number,
        lead(session_id) OVER in_conversation IS NULL AS is_last_in_conversation
    FROM sessions
    WINDOW in_conversation AS (
        PARTITION BY coalesce(conversation_id, session_id)
        ORDER BY coalesce(started_at, first_seen_at), session_id
    )
) AS n USING (session_id)
LEFT JOIN recordings AS r USING (session_id)
LEFT JOIN insight_summary AS i USING (session_id);
