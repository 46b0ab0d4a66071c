-- daily_metrics: one row per day of the reporting time zone, by the start of the session (or else when first seen).
-- over: calls

-- name: view
SELECT
    (coalesce(started_at, first_seen_at) AT TIME ZONE {reporting_timezone})::DATE AS day,
    count(*) AS sessions,
    count(DISTINCT coalesce(conversation_id, session_id)) AS conversations,
    count(ended_at) AS ended_sessions,
    sum(duration_ms)::BIGINT AS duration_ms,
    avg(duration_ms)::BIGINT AS average_duration_ms,
    sum(turn_count)::BIGINT AS turns,
    count(*) FILTER (recording_state = 'stored') AS recordings_stored,
    count(*) FILTER (recording_state = 'failed') AS recordings_failed,
    count(summary) AS summaries,
    count(*) FILTER (sentiment = 'happy') AS happy_sessions,
    count(*) FILTER (sentiment = 'neutral') AS neutral_sessions,
    count(*) FILTER (sentiment = 'frustrated') AS frustrated_sessions
FROM calls
GROUP BY ALL;
