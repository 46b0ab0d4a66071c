-- decisions: what was decided about dead letters in a batch.
-- reads: decisions (DeadLetterResolved; what is decided about replays makes no row)

-- name: open
CREATE OR REPLACE TEMP TABLE dead_letter_decisions AS
SELECT
    kafka_topic, kafka_partition, kafka_offset,
    unnest(from_json(value, '{"dead_letter_id": "VARCHAR", "attempts": "INTEGER", "resolution": "VARCHAR"}'))
FROM batch
WHERE input = 'decisions' AND type = 'DeadLetterResolved';

-- name: set_aside
DELETE FROM dead_letter_decisions
WHERE dead_letter_id IS NULL OR attempts IS NULL OR resolution IS NULL
RETURNING kafka_topic, kafka_partition, kafka_offset;
