-- webhooks: one row per raw delivery as it lies in the log. Bodies are not here.
-- reads: webhooks (every type)
--
-- columns:
--   kafka_topic      where the record lies: topic
--   kafka_partition  partition
--   kafka_offset     offset
--   receipt_id       the id that was returned as `Postcall-Receipt`
--   received_at      when it came in
--   source           the vendor
--   signature        `verified`, `unsigned`, `rest`, `imported` or `relay`
--   type             the vendor's event type, or `unreadable`
--   session_id       the session, if one could be read
--   sha256           hash of the body
--   bytes            size of the body
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
