-- recordings: the outcomes of downloads in a batch.
-- reads: recordings (RecordingStored, RecordingFailed; RecordingDeferred is not final and makes no row)

-- name: open
CREATE OR REPLACE TEMP TABLE recording_outcomes AS
SELECT
    kafka_topic, kafka_partition, kafka_offset, type, md5(type || value) AS content_hash,
    unnest(from_json(value, '{
        "session_id": "VARCHAR", "attempt": "INTEGER", "uri": "VARCHAR", "bytes": "BIGINT", "sha256": "VARCHAR",
        "recording_duration_ms": "BIGINT", "sample_rate": "INTEGER", "channels": "INTEGER", "codec": "VARCHAR",
        "stored_at": "TIMESTAMPTZ", "reason": "VARCHAR"
    }'))
FROM batch
WHERE input = 'recordings';

-- name: set_aside
DELETE FROM recording_outcomes
WHERE session_id IS NULL OR attempt IS NULL
    OR (type = 'RecordingStored' AND (uri IS NULL OR bytes IS NULL OR sha256 IS NULL OR stored_at IS NULL))
    OR (type = 'RecordingFailed' AND reason IS NULL)
RETURNING kafka_topic, kafka_partition, kafka_offset;
