-- insert_cluster --
-- Give a new log its identity.
INSERT INTO cluster (only_row, cluster_id, schema_version, next_producer_id) VALUES (1, :cluster_id, :schema_version, 1);

-- select_cluster --
-- The identity of this log; no row in a new database.
SELECT cluster_id, schema_version FROM cluster;

-- select_next_producer_id --
-- A producer id that no producer had before.
SELECT next_producer_id FROM cluster;

-- advance_next_producer_id --
-- Take the producer id just read.
UPDATE cluster SET next_producer_id = next_producer_id + 1;

-- insert_topic --
-- Create a topic.
INSERT INTO topics (name, topic_id, partition_count, configs)
VALUES (:name, :topic_id, :partition_count, :configs);

-- select_topics --
-- All topics, at start.
SELECT topic_number, name, topic_id, partition_count, configs FROM topics ORDER BY name;

-- delete_topic --
-- Delete a topic; its records, producers and offsets are deleted by the statements after this one.
DELETE FROM topics WHERE topic_number = :topic_number;

-- delete_topic_batches --
-- Delete the records of a topic.
DELETE FROM record_batches WHERE topic_number = :topic_number;

-- delete_topic_producers --
-- Forget who produced to a topic.
DELETE FROM producers WHERE topic_number = :topic_number;

-- delete_topic_offsets --
-- Forget what groups committed for a topic.
DELETE FROM committed_offsets WHERE topic_number = :topic_number;

-- select_partition_end --
-- The log end offset of a partition and its newest timestamp; no row while it is empty.
SELECT next_offset, newest_timestamp_ms FROM record_batches
WHERE topic_number = :topic_number AND partition_index = :partition_index
ORDER BY base_offset DESC LIMIT 1;

-- insert_batch --
-- Append a record batch.
INSERT INTO record_batches
(topic_number, partition_index, base_offset, next_offset, newest_timestamp_ms, content_bytes, content)
VALUES
(:topic_number, :partition_index, :base_offset, :next_offset, :newest_timestamp_ms, :content_bytes, :content);

-- select_batch_sizes --
-- The batches from the one that holds an offset onward, without their content (answered by the index alone).
SELECT next_offset, content_bytes FROM record_batches
WHERE topic_number = :topic_number AND partition_index = :partition_index
AND base_offset >= (
    SELECT base_offset FROM record_batches
    WHERE topic_number = :topic_number AND partition_index = :partition_index AND base_offset <= :from_offset
    ORDER BY base_offset DESC LIMIT 1
)
AND base_offset < :to_offset
ORDER BY base_offset LIMIT :batch_limit;

-- select_batches --
-- The content of the batches from the one that holds an offset up to another offset.
SELECT content FROM record_batches
WHERE topic_number = :topic_number AND partition_index = :partition_index
AND base_offset >= (
    SELECT base_offset FROM record_batches
    WHERE topic_number = :topic_number AND partition_index = :partition_index AND base_offset <= :from_offset
    ORDER BY base_offset DESC LIMIT 1
)
AND base_offset < :to_offset
ORDER BY base_offset;

-- select_batch_by_time --
-- The first batch that holds a record not older than a time.
SELECT content FROM record_batches
WHERE topic_number = :topic_number AND partition_index = :partition_index AND newest_timestamp_ms >= :timestamp_ms
ORDER BY newest_timestamp_ms, base_offset LIMIT 1;

-- select_producer --
-- What an idempotent producer last appended to a partition.
SELECT producer_epoch, recent FROM producers
WHERE topic_number = :topic_number AND partition_index = :partition_index AND producer_id = :producer_id;

-- upsert_producer --
-- Note what an idempotent producer just appended.
INSERT INTO producers (topic_number, partition_index, producer_id, producer_epoch, recent, updated_at_ms)
VALUES (:topic_number, :partition_index, :producer_id, :producer_epoch, :recent, :updated_at_ms)
ON CONFLICT (topic_number, partition_index, producer_id) DO UPDATE SET
    producer_epoch = excluded.producer_epoch, recent = excluded.recent, updated_at_ms = excluded.updated_at_ms;

-- delete_stale_producers --
-- Forget producers that have been silent for long.
DELETE FROM producers WHERE updated_at_ms < :before_ms;

-- upsert_committed_offset --
-- Commit a group's offset.
INSERT INTO committed_offsets
(group_id, topic_number, partition_index, committed_offset, metadata, committed_at_ms)
VALUES (:group_id, :topic_number, :partition_index, :committed_offset, :metadata, :committed_at_ms)
ON CONFLICT (group_id, topic_number, partition_index) DO UPDATE SET
    committed_offset = excluded.committed_offset, metadata = excluded.metadata, committed_at_ms = excluded.committed_at_ms;

-- select_committed_offsets --
-- All that a group has committed.
SELECT topic_number, partition_index, committed_offset, metadata FROM committed_offsets WHERE group_id = :group_id;

-- select_group_ids --
-- The groups that have committed offsets.
SELECT DISTINCT group_id FROM committed_offsets ORDER BY group_id;

-- select_topic_number --
-- Whether a topic of this name exists.
SELECT topic_number FROM topics WHERE name = :name;
