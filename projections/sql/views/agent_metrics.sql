-- agent_metrics: one row per agent, over all of its sessions; those of which no agent is known are one row, too.
-- over: sessions, conversation_sessions, insight_summary, transcripts
--
-- columns:
--   sessions                 its sessions
--   conversations            conversations that they belong to
--   ended_sessions           sessions that have an end
--   first_session_at         when the first was (its start, or else when it was first seen)
--   last_session_at          when the last was
--   duration_ms              of all sessions together
--   average_duration_ms      per session that has one
--   duration_p50_ms          half of the sessions were no longer
--   duration_p95_ms          95 % of the sessions were no longer
--   session_latency_p50_ms   half of the sessions had no greater `latency_ms`
--   session_latency_p95_ms   95 % of the sessions had no greater `latency_ms`
--   turns                    turns of all transcripts
--   turn_latency_p50_ms      half of the turns whose latency is known were answered no later
--   turn_latency_p95_ms      95 % of the turns whose latency is known were answered no later
--   summaries                sessions with a summary
--   happy_ratio              share of the sessions with a summary whose caller was happy by the end
--   neutral_ratio            share of them whose caller was neutral
--   frustrated_ratio         share of them whose caller was frustrated
--   follow_up_ratio          share of them in which something was promised for after the call
--   single_session_ratio     share of its conversations that needed one session only
--   resolved_ratio           share of the conversations whose last session was its own, with a summary, in which the caller
--                            was not frustrated by the end: nobody came back, but nobody was asked either
--
-- A share of nothing is empty. A percentile is one of the values that were measured, and none between two.

-- name: view
SELECT
    s.*, t.turn_latency_p50_ms, t.turn_latency_p95_ms
FROM (
    SELECT
        agent_id,
        count(*) AS sessions,
        count(DISTINCT p.conversation_id) AS conversations,
        count(ended_at) AS ended_sessions,
        min(p.began_at) AS first_session_at,
        max(p.began_at) AS last_session_at,
        sum(duration_ms)::BIGINT AS duration_ms,
        avg(duration_ms)::BIGINT AS average_duration_ms,
        quantile_disc(duration_ms, 0.5)::BIGINT AS duration_p50_ms,
        quantile_disc(duration_ms, 0.95)::BIGINT AS duration_p95_ms,
        quantile_disc(latency_ms, 0.5)::BIGINT AS session_latency_p50_ms,
        quantile_disc(latency_ms, 0.95)::BIGINT AS session_latency_p95_ms,
        coalesce(sum(turn_count), 0)::BIGINT AS turns,
        count(summary) AS summaries,
        avg((sentiment = 'happy')::INTEGER) AS happy_ratio,
        avg((sentiment = 'neutral')::INTEGER) AS neutral_ratio,
        avg((sentiment = 'frustrated')::INTEGER) AS frustrated_ratio,
        avg((len(follow_ups) > 0)::INTEGER) AS follow_up_ratio,
        count(*) FILTER (p.session_count = 1) / count(DISTINCT p.conversation_id) AS single_session_ratio,
        avg((sentiment != 'frustrated')::INTEGER) FILTER (p.is_last) AS resolved_ratio
    FROM sessions
    JOIN conversation_sessions AS p USING (session_id)
    LEFT JOIN insight_summary USING (session_id)
    GROUP BY agent_id
) AS s
LEFT JOIN (
    SELECT
        c.agent_id,
        quantile_disc(t.latency_ms, 0.5)::BIGINT AS turn_latency_p50_ms,
        quantile_disc(t.latency_ms, 0.95)::BIGINT AS turn_latency_p95_ms
    FROM transcripts AS t
    JOIN sessions AS c USING (session_id)
    WHERE t.latency_ms IS NOT NULL
    GROUP BY c.agent_id
) AS t ON s.agent_id IS NOT DISTINCT FROM t.agent_id;
