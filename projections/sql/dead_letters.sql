-- dead_letters: one row per record that a stage set aside, however often it did.
-- reads: dead_letters (DeadLetter)
--
-- The pointer and the reason are those of the first copy seen (a minimum, so order does not matter).

-- name: schema
CREATE TABLE IF NOT EXISTS base.dead_letter_states (
    id VARCHAR PRIMARY KEY,
    first_copy STRUCT(
        seen_at TIMESTAMPTZ, kafka_topic VARCHAR, kafka_partition INTEGER, kafka_offset BIGINT,
        session_id VARCHAR, stage VARCHAR, error_class VARCHAR, reason VARCHAR
    ),
    attempts INTEGER,
    last_seen_at TIMESTAMPTZ
);

-- name: apply
INSERT INTO base.dead_letter_states AS kept
SELECT
    id,
    min({
        'seen_at': recorded_at, 'kafka_topic': kafka_topic, 'kafka_partition': kafka_partition,
        'kafka_offset': kafka_offset, 'session_id': session_id, 'stage': stage, 'error_class': error_class,
        'reason': reason
    }),
    max(coalesce(attempts, 1)),
    max(recorded_at)
FROM dead_letter_events
GROUP BY id
ON CONFLICT DO UPDATE SET
    first_copy = least(kept.first_copy, excluded.first_copy),
    attempts = greatest(kept.attempts, excluded.attempts),
    last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at);

-- name: view
SELECT
    id, first_copy.session_id AS session_id, first_copy.kafka_topic AS kafka_topic,
    first_copy.kafka_partition AS kafka_partition, first_copy.kafka_offset AS kafka_offset,
    first_copy.stage AS stage, first_copy.error_class AS error_class, first_copy.reason AS reason,
    attempts, 'open' AS state, first_copy.seen_at AS first_seen_at, last_seen_at
FROM base.dead_letter_states;
