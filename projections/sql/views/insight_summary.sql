-- insight_summary: the current results of the analyzer `summary`, with typed columns.
-- over: current_insights
--
-- columns:
--   summary        two sentences: what the caller wanted, and how the call ended
--   intent         what the caller wanted
--   follow_ups     what was promised for after the call
--   customer_name  the caller's first name, if stated
--   sentiment      how the caller felt by the end: `happy`, `neutral` or `frustrated`

-- name: view
SELECT
    session_id, revision, answer.summary AS summary, answer.intent AS intent, answer.follow_ups AS follow_ups,
    answer.customer_name AS customer_name, answer.sentiment AS sentiment, model, occurred_at, produced_at, cost_usd,
    is_stale
FROM (
    SELECT
        *,
        from_json(result, '{
            "summary": "VARCHAR", "intent": "VARCHAR", "follow_ups": ["VARCHAR"], "customer_name": "VARCHAR",
            "sentiment": "VARCHAR"
        }') AS answer
    FROM current_insights
    WHERE analyzer = 'summary'
);
