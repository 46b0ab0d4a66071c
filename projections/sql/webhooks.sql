-- webhooks: one row per raw delivery, without its body.
-- reads: webhooks (every type)
--
-- Appended without an index: a batch never holds what lies below this projection's checkpoint.

-- name: schema
CREATE TABLE webhook_deliveries (
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
INSERT INTO webhook_deliveries BY NAME
SELECT * FROM deliveries;

-- name: view
SELECT
    kafka_topic, kafka_partition, kafka_offset, receipt_id, received_at, source, signature, type, session_id, sha256,
    bytes
FROM webhook_deliveries;
