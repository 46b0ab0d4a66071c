-- The embedded log's tables. Everything a client was told is kept is in here; what is not (group members, fetches
-- that wait) is lost with the process, and clients make it again. Kept to what SQLite 3.31 knows.

-- The identity of this log, made once. Its id tells a re-created log from the one a reader knew.
CREATE TABLE IF NOT EXISTS cluster (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    cluster_id TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    next_producer_id INTEGER NOT NULL
);

-- A topic created again under an old name has a new number and a new id. Numbers are never used twice.
CREATE TABLE IF NOT EXISTS topics (
    topic_number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    topic_id BLOB NOT NULL UNIQUE,
    partition_count INTEGER NOT NULL,
    configs TEXT NOT NULL
);

-- One row per record batch, in the order of arrival; `content` is what consumers receive, byte for byte.
-- `newest_timestamp_ms` is the greatest of the partition so far, so it never falls and a time finds its batch by index.
CREATE TABLE IF NOT EXISTS record_batches (
    batch_number INTEGER PRIMARY KEY,
    topic_number INTEGER NOT NULL,
    partition_index INTEGER NOT NULL,
    base_offset INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    newest_timestamp_ms INTEGER NOT NULL,
    content_bytes INTEGER NOT NULL,
    content BLOB NOT NULL
);

CREATE INDEX IF NOT EXISTS record_batches_by_offset
ON record_batches (topic_number, partition_index, base_offset, next_offset, content_bytes);

CREATE INDEX IF NOT EXISTS record_batches_by_time
ON record_batches (topic_number, partition_index, newest_timestamp_ms, base_offset);

-- What an idempotent producer last appended to a partition: enough to know a repeated batch also after a restart.
-- `recent` is a JSON array of [first sequence, last sequence, base offset], oldest first.
CREATE TABLE IF NOT EXISTS producers (
    topic_number INTEGER NOT NULL,
    partition_index INTEGER NOT NULL,
    producer_id INTEGER NOT NULL,
    producer_epoch INTEGER NOT NULL,
    recent TEXT NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    PRIMARY KEY (topic_number, partition_index, producer_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS committed_offsets (
    group_id TEXT NOT NULL,
    topic_number INTEGER NOT NULL,
    partition_index INTEGER NOT NULL,
    committed_offset INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    committed_at_ms INTEGER NOT NULL,
    PRIMARY KEY (group_id, topic_number, partition_index)
) WITHOUT ROWID;
