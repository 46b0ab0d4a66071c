-- dead_letters: the dead letters of a batch.
-- reads: dead_letters (DeadLetter)

-- name: open
CREATE OR REPLACE TEMP TABLE dead_letter_events AS
SELECT
    o.kafka_topic AS log_topic, o.kafka_partition AS log_partition, o.kafka_offset AS log_offset, o.recorded_at,
    unnest(o.letter)
FROM (
    SELECT
        kafka_topic, kafka_partition, kafka_offset, try_cast(recorded_at AS TIMESTAMPTZ) AS recorded_at,
        from_json(value, '{
            "id": "VARCHAR", "session_id": "VARCHAR", "stage": "VARCHAR", "error_class": "VARCHAR", "reason": "VARCHAR",
            "kafka_topic": "VARCHAR", "kafka_partition": "INTEGER", "kafka_offset": "BIGINT", "attempts": "INTEGER"
        }') AS letter
    FROM batch
    WHERE input = 'dead_letters'
) AS o;

-- name: set_aside
DELETE FROM dead_letter_events
WHERE id IS NULL OR recorded_at IS NULL OR stage IS NULL OR reason IS NULL
    OR kafka_topic IS NULL OR kafka_partition IS NULL OR kafka_offset IS NULL
RETURNING log_topic, log_partition, log_offset;
