-- daily_metrics: one row per day, by the start of the session (or else when it was first seen), cut in the time zone
-- `POSTCALL_REPORTING_TIMEZONE` (UTC unless set), never the reader's.
-- over: calls
--
-- columns:
--   day                  the day
--   sessions             sessions that started on it
--   conversations        conversations that they belong to
--   ended_sessions       sessions that have an end
--   duration_ms          of all sessions together
--   average_duration_ms  per session that has one
--   turns                turns of all transcripts
--   recordings_stored    recordings in the store
--   recordings_failed    recordings that we could not get
--   summaries            sessions with a summary
--   happy_sessions       sessions whose caller was happy by the end
--   neutral_sessions     sessions whose caller was neutral
--   frustrated_sessions  sessions whose caller was frustrated

-- name: view
SELECT
    (coalesce(started_at, first_seen_at) AT TIME ZONE {reporting_timezone})::DATE AS day,
    count(*) AS sessions,
    count(DISTINCT coalesce(conversation_id, session_id)) AS conversations,
    count(ended_at) AS ended_sessions,
    sum(duration_ms)::BIGINT AS duration_ms,
    avg(duration_ms)::BIGINT AS average_duration_ms,
    coalesce(sum(turn_count), 0)::BIGINT AS turns,
    count(*) FILTER (recording_state = 'stored') AS recordings_stored,
    count(*) FILTER (recording_state = 'failed') AS recordings_failed,
    count(summary) AS summaries,
    count(*) FILTER (sentiment = 'happy') AS happy_sessions,
    count(*) FILTER (sentiment = 'neutral') AS neutral_sessions,
    count(*) FILTER (sentiment = 'frustrated') AS frustrated_sessions
FROM calls
GROUP BY ALL;
