-- calls: one wide row per session: the session, its recording and its current summary.
-- over: sessions, recordings, insight_summary

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
