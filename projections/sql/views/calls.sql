-- calls: one wide row per session: the session, its recording and its current summary. Start here.
-- over: sessions, recordings, insight_summary
--
-- columns:
--   summary_model     the model that wrote the summary; `local` = the analyzer without a network
--   summary_is_stale  the transcript has changed since
--   recording_state   as `recordings.state`; empty = nothing known yet
--   recording_uri     as `recordings.uri`
--   recording_reason  why there is none
--
-- A session's place in its conversation is not here but in `conversation_sessions`: it takes a look at all sessions, which
-- who asks for one, or counts them, would pay for as well.

-- name: view
SELECT
    s.session_id, s.source, s.conversation_id, s.agent_id, s.started_at, s.ended_at, s.duration_ms, s.latency_ms,
    s.user_speech_ms, s.agent_speech_ms, s.from_number, s.from_country, s.to_number, s.to_country, s.country_code,
    s.ip_address, s.language, s.turn_count,
    i.summary, i.intent, i.sentiment, i.customer_name, i.follow_ups, i.model AS summary_model,
    i.is_stale AS summary_is_stale,
    r.state AS recording_state, r.uri AS recording_uri, r.recording_duration_ms, r.reason AS recording_reason,
    s.recording_expected, s.metadata, s.extensions, s.first_seen_at, s.updated_at
FROM sessions AS s
LEFT JOIN recordings AS r USING (session_id)
LEFT JOIN insight_summary AS i USING (session_id);
