-- sessions: one row per session, whatever is known of it. A record that says less never blanks one that said more: the
-- vendor's complete record, then the announced end, then the vendor's partial record, then the start, column by column.
-- reads: events (all types; any event makes the row, records and starts fill it)
--
-- columns:
--   session_id          the session: one connection, one transcript, one recording
--   source              the vendor
--   conversation_id     what the sessions of one caller's conversation share; empty where the vendor sends none
--   agent_id            the voice agent
--   started_at          start of the call
--   ended_at            end of the call; empty while it has none
--   duration_ms         length of the call
--   latency_ms          response latency as the vendor reports it
--   user_speech_ms      how long the caller spoke
--   agent_speech_ms     how long the agent spoke
--   from_number         the caller's number
--   from_country        its country
--   to_number           the agent's number
--   to_country          its country
--   country_code        country of the connection
--   ip_address          address of the connection
--   language            language of the call, where the vendor says it
--   recording_expected  whether the vendor records this session at all; empty = not said
--   turn_count          turns of the transcript; empty while there is none
--   input_hash          SHA-256 of what an analyzer receives of the transcript
--   metadata            your metadata: the start's, overlaid by an update's, overlaid by the end's
--   extensions          vendor fields that have no column
--   first_seen_at       when the first event of this session became known
--   updated_at          when the newest of the records shown here became known; a repeated delivery does not change it
--
-- The greatest record of each authority is kept, by number of turns and then by content; per column the view takes the
-- highest authority that says anything, so a sparse record never blanks a rich one, and turn_count and input_hash are
-- those of the highest authority. What every event may carry (agent, numbers, ...) is kept per column beside them and
-- fills what no record says. Metadata is merged by key: the start's, overlaid by an update's, overlaid by the end's. Times take part in no rank: first_seen_at is the earliest, updated_at that of the newest
-- kept record's first copy, so a repeated delivery changes nothing.

-- name: schema
CREATE TABLE session_mentions (
    session_id VARCHAR PRIMARY KEY,
    source VARCHAR,
    conversation_id VARCHAR,
    agent_id VARCHAR,
    from_number VARCHAR,
    to_number VARCHAR,
    metadata VARCHAR,
    extensions VARCHAR,
    first_seen_at TIMESTAMPTZ
);
CREATE TABLE session_records (
    session_id VARCHAR,
    authority TINYINT,
    richness INTEGER,
    content_hash VARCHAR,
    recorded_at TIMESTAMPTZ,
    conversation_id VARCHAR,
    agent_id VARCHAR,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    duration_ms BIGINT,
    latency_ms BIGINT,
    user_speech_ms BIGINT,
    agent_speech_ms BIGINT,
    from_number VARCHAR,
    from_country VARCHAR,
    to_number VARCHAR,
    to_country VARCHAR,
    country_code VARCHAR,
    ip_address VARCHAR,
    language VARCHAR,
    recording_expected BOOLEAN,
    turn_count INTEGER,
    input_hash VARCHAR,
    metadata JSON,
    extensions JSON,
    PRIMARY KEY (session_id, authority)
);

-- name: apply
INSERT INTO session_mentions AS kept
SELECT
    session_id, max(source), max(conversation_id), max(agent_id), max(from_number), max(to_number),
    max(nullif(metadata::VARCHAR, '{}')) FILTER (authority IS NULL),
    max(nullif(extensions::VARCHAR, '{}')) FILTER (type IN ('RecordingReady', 'RecordingUnavailable')),
    min(recorded_at)
FROM events
GROUP BY session_id
ON CONFLICT DO UPDATE SET
    source = greatest(kept.source, excluded.source),
    conversation_id = greatest(kept.conversation_id, excluded.conversation_id),
    agent_id = greatest(kept.agent_id, excluded.agent_id),
    from_number = greatest(kept.from_number, excluded.from_number),
    to_number = greatest(kept.to_number, excluded.to_number),
    metadata = greatest(kept.metadata, excluded.metadata),
    extensions = greatest(kept.extensions, excluded.extensions),
    first_seen_at = least(kept.first_seen_at, excluded.first_seen_at)
WHERE kept.source IS DISTINCT FROM greatest(kept.source, excluded.source)
    OR kept.conversation_id IS DISTINCT FROM greatest(kept.conversation_id, excluded.conversation_id)
    OR kept.agent_id IS DISTINCT FROM greatest(kept.agent_id, excluded.agent_id)
    OR kept.from_number IS DISTINCT FROM greatest(kept.from_number, excluded.from_number)
    OR kept.to_number IS DISTINCT FROM greatest(kept.to_number, excluded.to_number)
    OR kept.metadata IS DISTINCT FROM greatest(kept.metadata, excluded.metadata)
    OR kept.extensions IS DISTINCT FROM greatest(kept.extensions, excluded.extensions)
    OR kept.first_seen_at > excluded.first_seen_at;

INSERT INTO session_records AS kept BY NAME
SELECT
    session_id, authority,
    -- A start has no turns: the one that says more is the richer.
    if(authority = 0,
        (conversation_id IS NOT NULL)::INTEGER + (agent_id IS NOT NULL)::INTEGER + (from_number IS NOT NULL)::INTEGER
            + (to_number IS NOT NULL)::INTEGER + (coalesce(metadata::VARCHAR, '{}') != '{}')::INTEGER,
        coalesce(len(transcript), 0)) AS richness,
    content_hash, recorded_at, conversation_id, agent_id, started_at, ended_at, duration_ms, latency_ms,
    user_speech_ms, agent_speech_ms, from_number, from_country, to_number, to_country, country_code, ip_address,
    language, recording_expected,
    if(authority = 0, NULL, coalesce(len(transcript), 0)) AS turn_count,
    input_hash,
    if(metadata::VARCHAR = '{}', NULL, metadata) AS metadata,
    if(extensions::VARCHAR = '{}', NULL, extensions) AS extensions
FROM events
WHERE authority IS NOT NULL
QUALIFY row_number() OVER (
    PARTITION BY session_id, authority ORDER BY richness DESC, content_hash DESC, recorded_at
) = 1
ON CONFLICT DO UPDATE SET
    richness = excluded.richness,
    content_hash = excluded.content_hash,
    recorded_at = excluded.recorded_at,
    conversation_id = excluded.conversation_id,
    agent_id = excluded.agent_id,
    started_at = excluded.started_at,
    ended_at = excluded.ended_at,
    duration_ms = excluded.duration_ms,
    latency_ms = excluded.latency_ms,
    user_speech_ms = excluded.user_speech_ms,
    agent_speech_ms = excluded.agent_speech_ms,
    from_number = excluded.from_number,
    from_country = excluded.from_country,
    to_number = excluded.to_number,
    to_country = excluded.to_country,
    country_code = excluded.country_code,
    ip_address = excluded.ip_address,
    language = excluded.language,
    recording_expected = excluded.recording_expected,
    turn_count = excluded.turn_count,
    input_hash = excluded.input_hash,
    metadata = excluded.metadata,
    extensions = excluded.extensions
WHERE (excluded.richness, excluded.content_hash) > (kept.richness, kept.content_hash)
    OR (excluded.content_hash = kept.content_hash AND excluded.recorded_at < kept.recorded_at);

-- name: view
SELECT
    m.session_id,
    m.source,
    coalesce(r.conversation_id, m.conversation_id) AS conversation_id,
    coalesce(r.agent_id, m.agent_id) AS agent_id,
    r.started_at,
    r.ended_at,
    r.duration_ms,
    r.latency_ms,
    r.user_speech_ms,
    r.agent_speech_ms,
    coalesce(r.from_number, m.from_number) AS from_number,
    r.from_country,
    coalesce(r.to_number, m.to_number) AS to_number,
    r.to_country,
    r.country_code,
    r.ip_address,
    r.language,
    r.recording_expected,
    r.turn_count,
    r.input_hash,
    json_merge_patch(
        json_merge_patch(coalesce(r.start_metadata, '{}'), coalesce(m.metadata::JSON, '{}')),
        coalesce(r.end_metadata, '{}')
    ) AS metadata,
    json_merge_patch(coalesce(m.extensions::JSON, '{}'), coalesce(r.extensions, '{}')) AS extensions,
    m.first_seen_at,
    greatest(m.first_seen_at, r.recorded_at) AS updated_at
FROM session_mentions AS m
LEFT JOIN (
    -- arg_max passes over rows where the column is NULL.
    SELECT
        session_id,
        arg_max(conversation_id, authority) AS conversation_id,
        arg_max(agent_id, authority) AS agent_id,
        arg_max(started_at, authority) AS started_at,
        arg_max(ended_at, authority) AS ended_at,
        arg_max(duration_ms, authority) AS duration_ms,
        arg_max(latency_ms, authority) AS latency_ms,
        arg_max(user_speech_ms, authority) AS user_speech_ms,
        arg_max(agent_speech_ms, authority) AS agent_speech_ms,
        arg_max(from_number, authority) AS from_number,
        arg_max(from_country, authority) AS from_country,
        arg_max(to_number, authority) AS to_number,
        arg_max(to_country, authority) AS to_country,
        arg_max(country_code, authority) AS country_code,
        arg_max(ip_address, authority) AS ip_address,
        arg_max(language, authority) AS language,
        arg_max(recording_expected, authority) AS recording_expected,
        arg_max(turn_count, authority) AS turn_count,
        arg_max(input_hash, authority) AS input_hash,
        arg_max(metadata, authority) FILTER (authority = 0) AS start_metadata,
        arg_max(metadata, authority) FILTER (authority > 0) AS end_metadata,
        arg_max(extensions, authority) AS extensions,
        max(recorded_at) AS recorded_at
    FROM session_records
    GROUP BY session_id
) AS r USING (session_id);
