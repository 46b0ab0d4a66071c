-- checkpoints: how far each table has read each partition of the log.
-- reads nothing, the projector writes it
--
-- columns:
--   projection       the table that has read this far
--   kafka_topic      where the record lies: topic
--   kafka_partition  partition
--   next_offset      the offset to read next
--   cluster_id       the log's cluster id
--   topic_id         the topic's id, where the log gives one
--   partition_count  how many partitions the topic had
--   record_checksum  of the record before `next_offset`
--   set_aside        records of this partition that could not be read
--
-- What identifies the log lies beside the offset: its cluster and topic ids where it gives them, how many partitions the
-- topic had, the checksum of the record before next_offset, and whether what is before it was proven to be of that log.
-- `set_aside` counts the records that could not be read. `builds` says which build of a projection serves, `views` what
-- each public view shows.

-- name: schema
CREATE TABLE base.builds (
    projection VARCHAR,
    build INTEGER,
    fingerprint VARCHAR,
    is_serving BOOLEAN
);
CREATE TABLE base.views (
    place INTEGER,
    name VARCHAR,
    statement VARCHAR
);
CREATE TABLE base.checkpoints (
    projection VARCHAR,
    build INTEGER,
    kafka_topic VARCHAR,
    kafka_partition INTEGER,
    next_offset BIGINT,
    cluster_id VARCHAR,
    topic_id VARCHAR,
    partition_count INTEGER,
    record_checksum VARCHAR,
    is_proven BOOLEAN,
    set_aside BIGINT,
    PRIMARY KEY (projection, build, kafka_topic, kafka_partition)
);

-- name: apply
INSERT INTO base.checkpoints AS kept BY NAME
SELECT projection, build, kafka_topic, kafka_partition, next_offset, record_checksum, FALSE AS is_proven, set_aside
FROM progress
ON CONFLICT DO UPDATE SET
    next_offset = excluded.next_offset,
    record_checksum = excluded.record_checksum,
    is_proven = FALSE,
    set_aside = kept.set_aside + excluded.set_aside
WHERE excluded.next_offset > kept.next_offset;

-- Before reading: what the log is now. A checkpoint before the log's start, its loss accepted, moves there.
-- name: settle
INSERT INTO base.checkpoints AS kept BY NAME
SELECT
    projection,
    build,
    kafka_topic,
    kafka_partition,
    next_offset,
    cluster_id,
    topic_id,
    partition_count,
    NULL AS record_checksum,
    TRUE AS is_proven,
    0 AS set_aside
FROM log_now
ON CONFLICT DO UPDATE SET
    next_offset = greatest(kept.next_offset, excluded.next_offset),
    record_checksum = CASE WHEN excluded.next_offset <= kept.next_offset THEN kept.record_checksum END,
    cluster_id = excluded.cluster_id,
    topic_id = excluded.topic_id,
    partition_count = excluded.partition_count;

-- What was read up to these offsets came from the known log; what was read since is not proven.
-- name: prove
UPDATE base.checkpoints AS kept
SET is_proven = TRUE
FROM proven
WHERE
    kept.projection = proven.projection
    AND kept.build = proven.build
    AND kept.kafka_topic = proven.kafka_topic
    AND kept.kafka_partition = proven.kafka_partition
    AND kept.next_offset = proven.next_offset;

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
FROM base.checkpoints
SEMI JOIN (FROM base.builds WHERE is_serving) USING (projection, build);
