-- events: the domain events of a batch, parsed once for all projections that read them.
-- reads: events (SessionStarted, TurnReceived, ClientDataReceived, SessionEnded, SessionFetched, RecordingReady,
--   RecordingUnavailable)
--
-- `authority` orders the records of a session: 3 the vendor's complete record, 2 the announced end, 1 the vendor's
-- partial record, 0 the start; other types have none. `content_hash` is of type and value, so it breaks ties by what
-- an event says and never by where or when it was written.

-- name: open
CREATE OR REPLACE TEMP TABLE events AS
SELECT
    *,
    CASE
        WHEN type = 'SessionFetched' THEN if(is_complete, 3, 1)
        WHEN type = 'SessionEnded' THEN 2
        WHEN type = 'SessionStarted' THEN 0
    END::TINYINT AS authority
FROM (
    SELECT
        kafka_topic, kafka_partition, kafka_offset, type, source, md5(type || value) AS content_hash,
        try_cast(recorded_at AS TIMESTAMPTZ) AS recorded_at,
        unnest(from_json(value, '{
            "session_id": "VARCHAR", "conversation_id": "VARCHAR", "agent_id": "VARCHAR",
            "from_number": "VARCHAR", "to_number": "VARCHAR", "metadata": "JSON", "extensions": "JSON",
            "started_at": "TIMESTAMPTZ", "ended_at": "TIMESTAMPTZ", "duration_ms": "BIGINT", "latency_ms": "BIGINT",
            "user_speech_ms": "BIGINT", "agent_speech_ms": "BIGINT", "from_country": "VARCHAR",
            "to_country": "VARCHAR", "country_code": "VARCHAR", "ip_address": "VARCHAR", "language": "VARCHAR",
            "recording_expected": "BOOLEAN", "input_hash": "VARCHAR", "is_complete": "BOOLEAN", "reason": "VARCHAR",
            "transcript": [{"role": "VARCHAR", "text": "VARCHAR", "spoken_at": "TIMESTAMPTZ", "latency_ms": "BIGINT"}]
        }'))
    FROM batch
    WHERE input = 'events'
);

-- name: set_aside
DELETE FROM events
WHERE session_id IS NULL OR recorded_at IS NULL
    OR (authority > 0 AND input_hash IS NULL)
    OR (type = 'SessionFetched' AND is_complete IS NULL)
    OR (type = 'RecordingUnavailable' AND reason IS NULL)
RETURNING kafka_topic, kafka_partition, kafka_offset;
