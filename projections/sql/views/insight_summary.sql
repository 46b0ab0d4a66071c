-- insight_summary: the current results of the analyzer `summary`, with typed columns.
-- over: current_insights
--
-- columns:
--   summary        two sentences: what the caller wanted, and how the call ended
--   intent         why the caller called: `booking`, `change`, `cancellation`, `complaint`, `fault`, `question`,
--                  `order`, `payment`, `other`
--   follow_ups     what the agent promised will happen after the call, one sentence each; empty if nothing
--   customer_name  the caller's first name, only if the caller said it in this call; otherwise null
--   sentiment      how the caller, not the agent, felt by the end of the call: `happy`, `neutral`, `frustrated`

-- name: view
SELECT
    session_id, revision,
    answer."summary" AS "summary",
    answer."intent" AS "intent",
    answer."follow_ups" AS "follow_ups",
    answer."customer_name" AS "customer_name",
    answer."sentiment" AS "sentiment",
    model, occurred_at, produced_at, cost_usd, is_stale
FROM (
    SELECT
        *,
        from_json(result, '{
            "summary": "VARCHAR",
            "intent": "VARCHAR",
            "follow_ups": ["VARCHAR"],
            "customer_name": "VARCHAR",
            "sentiment": "VARCHAR"
        }') AS answer
    FROM current_insights
    WHERE analyzer = 'summary'
);
