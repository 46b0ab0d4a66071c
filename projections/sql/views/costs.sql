-- costs: what analyses took, one row per day, analyzer, revision, model and trigger. The day is that of the analysis, cut in
-- the time zone `POSTCALL_REPORTING_TIMEZONE` (UTC unless set).
-- over: insights
--
-- columns:
--   day               the day of the analyses
--   model             the model that answered; `local` = the analyzer without a network; empty = none was asked
--   analyses          analyses that are over, skipped ones included
--   done              those with a result, also one in which nothing was found
--   failed            those that gave nothing usable
--   skipped           those that were not run
--   unpriced          those that a model answered at a cost that is not known: the sum is greater than `cost_usd`
--   tokens_in         tokens read
--   tokens_out        tokens written
--   cost_usd          price of those whose cost is known
--   model_latency_ms  how long the models took, all together
--
-- An attempt that was answered, put off and made again is one analysis here: what its last attempt took.

-- name: view
SELECT
    (produced_at AT TIME ZONE {reporting_timezone})::DATE AS day,
    analyzer, revision, model, trigger,
    count(*) AS analyses,
    count(*) FILTER (state IN ('done', 'empty')) AS done,
    count(*) FILTER (state = 'failed') AS failed,
    count(*) FILTER (state = 'skipped') AS skipped,
    count(*) FILTER (model != 'local' AND cost_usd IS NULL) AS unpriced,
    sum(tokens_in)::BIGINT AS tokens_in,
    sum(tokens_out)::BIGINT AS tokens_out,
    sum(cost_usd)::DECIMAL(18, 9) AS cost_usd,
    sum(model_latency_ms)::BIGINT AS model_latency_ms
FROM insights
GROUP BY ALL;
