-- webhooks: one row per raw delivery, without its body.
-- reads: webhooks (every type)
--
-- Appended without an index: what lies below this projection's checkpoint is here already.

-- name: schema
CREATE TABLE IF NOT EXISTS base.deliveries (
    kafka_topic VARCHAR,
    kafka_partition INTEGER,
    kafka_offset BIGINT,
    receipt_id VARCHAR,
    received_at TIMESTAMPTZ,
    source VARCHAR,
    signature VARCHAR,
    type VARCHAR,
    session_id VARCHAR,
    sha256 VARCHAR,
    bytes BIGINT
);

-- name: apply
INSERT INTO base.deliveries BY NAME
SELECT DISTINCT ON (d.kafka_topic, d.kafka_partition, d.kafka_offset) d.*
FROM deliveries AS d
LEFT JOIN base.checkpoints AS c
    ON c.projection = 'webhooks' AND c.kafka_topic = d.kafka_topic AND c.kafka_partition = d.kafka_partition
WHERE d.kafka_offset >= coalesce(c.next_offset, 0);

-- name: view
SELECT
    kafka_topic, kafka_partition, kafka_offset, receipt_id, received_at, source, signature, type, session_id, sha256,
    bytes
FROM base.deliveries;
