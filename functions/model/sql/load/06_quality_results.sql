-- The findings into quality_result. A replay replaces what its run found in its responses; what the rules of the stage
-- model found stays, because they judge only what a load changes.
DELETE FROM quality_result AS old
WHERE run_id = %(run_id)s AND rule = ANY(%(transform_rules)s)
    AND NOT EXISTS (
        SELECT FROM finding AS new WHERE new.rule = old.rule AND new.city_id = old.city_id AND new.date = old.date
    );

-- A run that repeats another one's responses finds the same again, and writes nothing.
INSERT INTO quality_result (run_id, rule, city_id, date, severity, count, example, found_at)
SELECT run_id, rule, city_id, date, severity, count, example, found_at
FROM (
    SELECT finding.*, %(run_id)s::text COLLATE "C" AS run_id, %(severities)s::jsonb ->> rule AS severity, newest_fetch.found_at
    FROM finding
    CROSS JOIN (
        SELECT greatest((SELECT max(fetched_at) FROM incoming_response), (SELECT max(fetched_at) FROM incoming_quality))
            AS found_at
    ) AS newest_fetch
) AS new
WHERE NOT EXISTS (
    SELECT
    FROM (
        SELECT severity, count, example
        FROM quality_result AS stored
        WHERE stored.city_id = new.city_id AND stored.date = new.date AND stored.rule = new.rule
            AND (stored.found_at, stored.run_id) <= (new.found_at, new.run_id)
        ORDER BY stored.found_at DESC, stored.run_id DESC
        LIMIT 1
    ) AS newest
    WHERE (newest.severity, newest.count, newest.example) = (new.severity, new.count, new.example)
)
ON CONFLICT (run_id, rule, city_id, date) DO UPDATE SET
    severity = excluded.severity, count = excluded.count, example = excluded.example, found_at = excluded.found_at;
