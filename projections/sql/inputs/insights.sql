-- insights: the outcomes of analyses in a batch.
-- reads: insights (InsightExtracted, AnalysisSkipped, AnalysisFailed; AnalysisDeferred is not final and makes no row)

-- name: open
CREATE OR REPLACE TEMP TABLE analysis_outcomes AS
SELECT
    kafka_topic, kafka_partition, kafka_offset, type, md5(type || value) AS content_hash,
    unnest(from_json(value, '{
        "session_id": "VARCHAR", "attempt": "INTEGER", "analyzer": "VARCHAR", "revision": "INTEGER",
        "input_hash": "VARCHAR", "trigger": "VARCHAR", "occurred_at": "TIMESTAMPTZ", "produced_at": "TIMESTAMPTZ",
        "model": "VARCHAR", "tokens_in": "BIGINT", "tokens_out": "BIGINT", "cost_usd": "DECIMAL(18, 9)",
        "model_latency_ms": "BIGINT", "result": "JSON", "reason": "VARCHAR"
    }'))
FROM batch
WHERE input = 'insights';

-- name: set_aside
DELETE FROM analysis_outcomes
WHERE session_id IS NULL OR attempt IS NULL OR analyzer IS NULL OR revision IS NULL OR input_hash IS NULL
    OR produced_at IS NULL
    OR (type = 'InsightExtracted' AND result IS NULL)
    OR (type IN ('AnalysisSkipped', 'AnalysisFailed') AND reason IS NULL)
RETURNING kafka_topic, kafka_partition, kafka_offset;
