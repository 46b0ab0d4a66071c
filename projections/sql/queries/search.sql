-- search: the turns in which something was said, those of the latest sessions first. A scan: no case, no accents, and no
-- character of the phrase is special.

-- name: search
SELECT
    t.session_id, t.seq, t.role, t.text,
    coalesce(t.spoken_at, s.started_at, s.first_seen_at) AS said_at
FROM transcripts AS t
JOIN sessions AS s USING (session_id)
WHERE contains(lower(strip_accents(t.text)), lower(strip_accents($phrase::VARCHAR)))
    AND ($role::VARCHAR IS NULL OR t.role = $role)
    AND (
        $since::DATE IS NULL
        OR (coalesce(s.started_at, s.first_seen_at) AT TIME ZONE $timezone::VARCHAR)::DATE >= $since::DATE
    )
ORDER BY coalesce(s.started_at, s.first_seen_at) DESC, t.session_id, t.seq
LIMIT $rows::INTEGER;
