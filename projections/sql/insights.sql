-- insights: one row per session, analyzer, revision and transcript. A new revision adds rows, it changes none.
-- reads: insights (InsightExtracted, AnalysisSkipped, AnalysisFailed)
--
-- columns:
--   session_id        the session: one connection, one transcript, one recording
--   analyzer          name of the analyzer
--   revision          its revision
--   input_hash        SHA-256 of what an analyzer receives of the transcript
--   state             `done`, `empty` (done, nothing found), `failed`, `skipped`
--   result            the answer, in the shape of the analyzer's schema
--   reason            why it is not there
--   model             the model that answered; `local` = the analyzer without a network
--   occurred_at       the call's time
--   produced_at       the analysis's time
--   trigger           `live`, `replay` or `manual`
--   tokens_in         tokens read
--   tokens_out        tokens written
--   cost_usd          price; empty where it is not known
--   model_latency_ms  how long the model took
--
-- done (and empty: done, with nothing found) is final; else failed > skipped, the later attempt, then content.

-- name: schema
CREATE TABLE insight_states (
    session_id VARCHAR,
    analyzer VARCHAR,
    revision INTEGER,
    input_hash VARCHAR,
    state_rank TINYINT,
    attempt INTEGER,
    content_hash VARCHAR,
    state VARCHAR,
    result JSON,
    reason VARCHAR,
    model VARCHAR,
    occurred_at TIMESTAMPTZ,
    produced_at TIMESTAMPTZ,
    trigger VARCHAR,
    tokens_in BIGINT,
    tokens_out BIGINT,
    cost_usd DECIMAL(18, 9),
    model_latency_ms BIGINT,
    PRIMARY KEY (session_id, analyzer, revision, input_hash)
);

-- name: apply
INSERT INTO insight_states AS kept BY NAME
SELECT
    session_id, analyzer, revision, input_hash,
    CASE type WHEN 'InsightExtracted' THEN 3 WHEN 'AnalysisFailed' THEN 2 ELSE 1 END AS state_rank,
    attempt, content_hash,
    CASE
        WHEN type = 'InsightExtracted' AND result::VARCHAR = '{}' THEN 'empty'
        WHEN type = 'InsightExtracted' THEN 'done'
        WHEN type = 'AnalysisFailed' THEN 'failed'
        ELSE 'skipped'
    END AS state,
    result, reason, model, occurred_at, produced_at, trigger, tokens_in, tokens_out, cost_usd, model_latency_ms
FROM analysis_outcomes
WHERE type IN ('InsightExtracted', 'AnalysisFailed', 'AnalysisSkipped')
QUALIFY row_number() OVER (
    PARTITION BY session_id, analyzer, revision, input_hash
    ORDER BY state_rank DESC, attempt DESC, content_hash DESC
) = 1
ON CONFLICT DO UPDATE SET
    state_rank = excluded.state_rank,
    attempt = excluded.attempt,
    content_hash = excluded.content_hash,
    state = excluded.state,
    result = excluded.result,
    reason = excluded.reason,
    model = excluded.model,
    occurred_at = excluded.occurred_at,
    produced_at = excluded.produced_at,
    trigger = excluded.trigger,
    tokens_in = excluded.tokens_in,
    tokens_out = excluded.tokens_out,
    cost_usd = excluded.cost_usd,
    model_latency_ms = excluded.model_latency_ms
WHERE (excluded.state_rank, excluded.attempt, excluded.content_hash)
    > (kept.state_rank, kept.attempt, kept.content_hash);

-- name: view
SELECT
    session_id, analyzer, revision, input_hash, state, result, reason, model, occurred_at, produced_at, trigger,
    tokens_in, tokens_out, cost_usd, model_latency_ms
FROM insight_states;
