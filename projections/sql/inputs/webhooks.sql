-- webhooks: the raw deliveries of a batch; their bodies are never read here.
-- reads: webhooks (every type)

-- name: open
CREATE OR REPLACE TEMP TABLE deliveries AS
SELECT
    kafka_topic, kafka_partition, kafka_offset, receipt_id, source, signature, type, session_id,
    try_cast(recorded_at AS TIMESTAMPTZ) AS received_at, sha256, bytes
FROM batch
WHERE input = 'webhooks';

-- name: set_aside
DELETE FROM deliveries
WHERE receipt_id IS NULL OR source IS NULL OR received_at IS NULL
RETURNING kafka_topic, kafka_partition, kafka_offset;
