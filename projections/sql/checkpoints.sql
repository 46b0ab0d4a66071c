-- checkpoints: how far each projection has read each partition, saved in the transaction of the rows.
-- reads: nothing, the projector writes it
--
-- What identifies the log lies beside the offset: its cluster and topic ids where it gives them, how many partitions the
-- topic had, and the checksum of the record before next_offset. `set_aside` counts the records that could not be read.

-- name: schema
CREATE TABLE IF NOT EXISTS base.checkpoints (
    projection VARCHAR,
    kafka_topic VARCHAR,
    kafka_partition INTEGER,
    next_offset BIGINT,
    cluster_id VARCHAR,
    topic_id VARCHAR,
    partition_count INTEGER,
    record_checksum VARCHAR,
    set_aside BIGINT,
    PRIMARY KEY (projection, kafka_topic, kafka_partition)
);

-- name: apply
INSERT INTO base.checkpoints AS kept BY NAME
SELECT projection, kafka_topic, kafka_partition, next_offset, record_checksum, set_aside
FROM progress
ON CONFLICT DO UPDATE SET
    next_offset = excluded.next_offset,
    record_checksum = excluded.record_checksum,
    set_aside = kept.set_aside + excluded.set_aside
WHERE excluded.next_offset > kept.next_offset;

-- Before reading: what the log is now. A checkpoint before the log's start, its loss accepted, moves there.
-- name: settle
INSERT INTO base.checkpoints AS kept BY NAME
SELECT
    projection,
    kafka_topic,
    kafka_partition,
    next_offset,
    cluster_id,
    topic_id,
    partition_count,
    NULL AS record_checksum,
    0 AS set_aside
FROM log_now
ON CONFLICT DO UPDATE SET
    next_offset = greatest(kept.next_offset, excluded.next_offset),
    record_checksum = CASE WHEN excluded.next_offset <= kept.next_offset THEN kept.record_checksum END,
    cluster_id = excluded.cluster_id,
    topic_id = excluded.topic_id,
    partition_count = excluded.partition_count;

-- name: view
SELECT
    projection,
    kafka_topic,
    kafka_partition,
    next_offset,
    cluster_id,
    topic_id,
    partition_count,
    record_checksum,
    set_aside
FROM base.checkpoints;
