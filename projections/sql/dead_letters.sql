-- dead_letters: one row per record that a stage set aside, however often it did.
-- reads: dead_letters (DeadLetter), decisions (DeadLetterResolved)
--
-- columns:
--   id               the same for the same record at the same stage, however often
--   session_id       the session, if one could be read
--   kafka_topic      the record that was set aside: topic
--   kafka_partition  partition
--   kafka_offset     offset
--   stage            the stage that could not use it
--   error_class      `signature`, `unreadable`, `schema`, `vendor`, `model`, `store` or `bug`
--   reason           why, for a person to act on
--   attempts         how often it was tried; of several copies the one with the most speaks
--   state            `open`, `resolved` (a replay got through it) or `dismissed`; one that fails again is open again
--   occurrences      how many records of the log it stands for, a request that was asked for again included
--   first_seen_at    when it was first set aside
--   last_seen_at     when it was last set aside
--
-- Of several copies the one with the most attempts speaks, then the first that was seen (a minimum, so order does not
-- matter). A decision settles the attempts that it names and those before: one that comes first waits for its letter,
-- and a letter with more attempts is open again. The records that share the id are kept as a set.

-- name: schema
CREATE TABLE dead_letter_states (
    id VARCHAR PRIMARY KEY,
    speaking_copy STRUCT(
        negated_attempts INTEGER, seen_at TIMESTAMPTZ, kafka_topic VARCHAR, kafka_partition INTEGER,
        kafka_offset BIGINT, session_id VARCHAR, stage VARCHAR, error_class VARCHAR, reason VARCHAR
    ),
    first_seen_at TIMESTAMPTZ,
    last_seen_at TIMESTAMPTZ,
    decision STRUCT(attempts INTEGER, resolution VARCHAR)
);
CREATE TABLE dead_letter_sources (
    id VARCHAR,
    kafka_topic VARCHAR,
    kafka_partition INTEGER,
    kafka_offset BIGINT,
    PRIMARY KEY (id, kafka_topic, kafka_partition, kafka_offset)
);

-- name: apply
INSERT INTO dead_letter_states AS kept BY NAME
SELECT
    id, min(copy) AS speaking_copy, min(seen_at) AS first_seen_at, max(seen_at) AS last_seen_at,
    max(decision) AS decision
FROM (
    SELECT
        id, recorded_at AS seen_at,
        {
            'negated_attempts': -coalesce(attempts, 1), 'seen_at': recorded_at, 'kafka_topic': kafka_topic,
            'kafka_partition': kafka_partition, 'kafka_offset': kafka_offset, 'session_id': session_id, 'stage': stage,
            'error_class': error_class, 'reason': reason
        } AS copy
    FROM dead_letter_events
    UNION ALL BY NAME
    SELECT dead_letter_id AS id, {'attempts': attempts, 'resolution': resolution} AS decision
    FROM dead_letter_decisions
)
GROUP BY id
ON CONFLICT DO UPDATE SET
    speaking_copy = least(kept.speaking_copy, excluded.speaking_copy),
    first_seen_at = least(kept.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(kept.last_seen_at, excluded.last_seen_at),
    decision = greatest(kept.decision, excluded.decision);
INSERT INTO dead_letter_sources
SELECT DISTINCT id, kafka_topic, kafka_partition, kafka_offset
FROM dead_letter_events
ON CONFLICT DO NOTHING;

-- name: view
SELECT
    id, speaking_copy.session_id AS session_id, speaking_copy.kafka_topic AS kafka_topic,
    speaking_copy.kafka_partition AS kafka_partition, speaking_copy.kafka_offset AS kafka_offset,
    speaking_copy.stage AS stage, speaking_copy.error_class AS error_class, speaking_copy.reason AS reason,
    -speaking_copy.negated_attempts AS attempts,
    CASE
        WHEN coalesce(decision.attempts, 0) < -speaking_copy.negated_attempts THEN 'open'
        WHEN decision.resolution = 'dismissed' THEN 'dismissed'
        ELSE 'resolved'
    END AS state,
    occurrences, first_seen_at, last_seen_at
FROM dead_letter_states
JOIN (SELECT id, count(*) AS occurrences FROM dead_letter_sources GROUP BY id) USING (id);
