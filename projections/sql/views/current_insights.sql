-- current_insights: one row per session and analyzer: the result for the session's present transcript by the greatest
-- revision, else the newest of an earlier transcript, marked stale.
-- over: insights, sessions
--
-- columns:
--   state     `done`, or `empty` (done, nothing found)
--   is_stale  the result is of an earlier transcript

-- name: view
SELECT
    i.session_id, i.analyzer, i.revision, i.input_hash, i.state, i.result, i.model, i.occurred_at, i.produced_at,
    i.trigger, i.tokens_in, i.tokens_out, i.cost_usd, i.model_latency_ms,
    i.input_hash IS DISTINCT FROM s.input_hash AS is_stale
FROM insights AS i
LEFT JOIN sessions AS s USING (session_id)
WHERE i.state IN ('done', 'empty')
QUALIFY row_number() OVER (
    PARTITION BY i.session_id, i.analyzer
    ORDER BY is_stale, if(is_stale, NULL, i.revision) DESC, i.produced_at DESC, i.revision DESC, i.input_hash
) = 1;
