-- sessions: what the routes under /v1/sessions ask. All that comes from outside is a parameter.

-- One session as it is known.
-- name: session
SELECT * FROM sessions WHERE session_id = $session_id;

-- Its place among the sessions of its conversation.
-- name: conversation
SELECT conversation_id, session_number, is_last, session_count
FROM (
    SELECT
        session_id, conversation_id,
        row_number() OVER (ORDER BY coalesce(started_at, first_seen_at), session_id) AS session_number,
        lead(session_id) OVER (ORDER BY coalesce(started_at, first_seen_at), session_id) IS NULL AS is_last,
        count(*) OVER () AS session_count
    FROM sessions
    WHERE conversation_id = $conversation_id
)
WHERE session_id = $session_id;

-- name: transcript
SELECT seq, role, text, spoken_at, latency_ms FROM transcripts WHERE session_id = $session_id ORDER BY seq;

-- name: recording
SELECT * EXCLUDE (session_id) FROM recordings WHERE session_id = $session_id;

-- The result of each analyzer to look at.
-- name: insights
SELECT
    analyzer, revision, state, result, model, occurred_at, produced_at, trigger, tokens_in, tokens_out,
    cost_usd::DOUBLE AS cost_usd, model_latency_ms, is_stale
FROM current_insights
WHERE session_id = $session_id
ORDER BY analyzer;

-- What became of each analyzer's latest revision on the transcript as it is.
-- name: analyses
SELECT analyzer, revision, state, reason
FROM insights
WHERE session_id = $session_id AND input_hash = $input_hash
QUALIFY row_number() OVER (PARTITION BY analyzer ORDER BY revision DESC) = 1
ORDER BY analyzer;

-- Which sessions, the latest first, from behind a place on. Metadata is compared as text, key by key. Only the columns that
-- are compared are read: a parameter that is NULL costs nothing.
-- name: lookup
SELECT session_id, coalesce(started_at, first_seen_at) AS moment
FROM sessions
WHERE ($conversation_id::VARCHAR IS NULL OR conversation_id = $conversation_id)
    AND ($agent_id::VARCHAR IS NULL OR agent_id = $agent_id)
    AND ($from_number::VARCHAR IS NULL OR from_number = $from_number)
    AND ($to_number::VARCHAR IS NULL OR to_number = $to_number)
    AND ($since::TIMESTAMPTZ IS NULL OR coalesce(started_at, first_seen_at) >= $since::TIMESTAMPTZ)
    AND (
        $before_at::TIMESTAMPTZ IS NULL
        OR (coalesce(started_at, first_seen_at), session_id) < ($before_at::TIMESTAMPTZ, $before_id::VARCHAR)
    )
    AND (
        len($paths::VARCHAR[]) = 0
        OR json_extract_string(metadata, $paths::VARCHAR[]) = $wanted::VARCHAR[]
    )
ORDER BY moment DESC, session_id DESC
LIMIT $rows;

-- One of them in short.
-- name: short
SELECT
    session_id, source, conversation_id, agent_id, started_at, ended_at, duration_ms, from_number, to_number, turn_count,
    metadata, first_seen_at, updated_at
FROM sessions
WHERE session_id = $session_id;

-- Where a recording is.
-- name: recording_file
SELECT r.state, r.uri, r.reason FROM sessions LEFT JOIN recordings AS r USING (session_id) WHERE session_id = $session_id;
