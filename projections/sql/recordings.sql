-- recordings: one row per session whose recording is stored, failed or unavailable.
-- reads: recordings (RecordingStored, RecordingFailed), events (RecordingUnavailable)
--
-- columns:
--   session_id             the session: one connection, one transcript, one recording
--   state                  `stored`, `failed` (we could not get it) or `unavailable` (the vendor has none)
--   uri                    where the file is
--   bytes                  size of the file
--   sha256                 hash of the file
--   recording_duration_ms  length of the audio
--   sample_rate            samples a second
--   channels               1 = mono
--   codec                  how the audio is coded
--   stored_at              when it was stored
--   reason                 why it failed, or is unavailable
--
-- stored > failed > unavailable; within a state the later attempt, then content.

-- name: schema
CREATE TABLE recording_states (
    session_id VARCHAR PRIMARY KEY,
    state_rank TINYINT,
    attempt INTEGER,
    content_hash VARCHAR,
    state VARCHAR,
    uri VARCHAR,
    bytes BIGINT,
    sha256 VARCHAR,
    recording_duration_ms BIGINT,
    sample_rate INTEGER,
    channels INTEGER,
    codec VARCHAR,
    stored_at TIMESTAMPTZ,
    reason VARCHAR
);

-- name: apply
INSERT INTO recording_states AS kept BY NAME
SELECT *
FROM (
    SELECT
        session_id, if(type = 'RecordingStored', 3, 2) AS state_rank, attempt, content_hash,
        if(type = 'RecordingStored', 'stored', 'failed') AS state,
        uri, bytes, sha256, recording_duration_ms, sample_rate, channels, codec, stored_at, reason
    FROM recording_outcomes
    WHERE type IN ('RecordingStored', 'RecordingFailed')
    UNION ALL BY NAME
    SELECT session_id, 1 AS state_rank, 0 AS attempt, content_hash, 'unavailable' AS state, reason
    FROM events
    WHERE type = 'RecordingUnavailable'
)
QUALIFY row_number() OVER (
    PARTITION BY session_id ORDER BY state_rank DESC, attempt DESC, content_hash DESC
) = 1
ON CONFLICT DO UPDATE SET
    state_rank = excluded.state_rank,
    attempt = excluded.attempt,
    content_hash = excluded.content_hash,
    state = excluded.state,
    uri = excluded.uri,
    bytes = excluded.bytes,
    sha256 = excluded.sha256,
    recording_duration_ms = excluded.recording_duration_ms,
    sample_rate = excluded.sample_rate,
    channels = excluded.channels,
    codec = excluded.codec,
    stored_at = excluded.stored_at,
    reason = excluded.reason
WHERE (excluded.state_rank, excluded.attempt, excluded.content_hash)
    > (kept.state_rank, kept.attempt, kept.content_hash);

-- name: view
SELECT
    session_id, state, uri, bytes, sha256, recording_duration_ms, sample_rate, channels, codec, stored_at, reason
FROM recording_states;
