-- A replay of a response can have other hours and values than its first load: both count, as one response. So each
-- response of this load that was loaded before with another coverage gets the union of both.
CREATE TEMPORARY TABLE covered_hour ON COMMIT DROP AS
WITH stored AS (
    SELECT coverage
    FROM staging_coverage AS coverage
    JOIN incoming_response AS response USING (city_id, source, fetched_at, run_id)
), repeated AS (
    SELECT DISTINCT (coverage).city_id FROM stored
), stretch AS (
    SELECT coverage FROM stored
    UNION ALL
    SELECT (response.city_id, source, fetched_at, run_id, first_hour, last_hour, filled, gap_offsets, gap_filled,
        sha256)::staging_coverage
    FROM incoming_response AS response
    JOIN repeated USING (city_id)
)
SELECT (coverage).city_id, hour.observed_at, bit_or(hour.filled) AS filled
FROM stretch
CROSS JOIN LATERAL coverage_hours(coverage, (coverage).first_hour, (coverage).last_hour) AS hour
GROUP BY (coverage).city_id, hour.observed_at;

DELETE FROM staging_coverage AS coverage
USING incoming_response AS response
WHERE (coverage.city_id, coverage.source, coverage.fetched_at, coverage.run_id)
    = (response.city_id, response.source, response.fetched_at, response.run_id);

WITH whole AS (
    SELECT city_id, min(observed_at) AS first_hour, max(observed_at) AS last_hour,
        mode() WITHIN GROUP (ORDER BY filled) AS filled
    FROM covered_hour
    GROUP BY city_id
), gap AS (
    SELECT whole.city_id,
        coalesce(array_agg(n ORDER BY n) FILTER (WHERE is_gap), '{}') AS offsets,
        coalesce(array_agg(coalesce(hour.filled, -1::smallint) ORDER BY n) FILTER (WHERE is_gap), '{}') AS filled
    FROM whole
    CROSS JOIN LATERAL generate_series(0, (extract(epoch FROM last_hour - first_hour) / 3600)::integer) AS n
    LEFT JOIN covered_hour AS hour
        ON hour.city_id = whole.city_id AND hour.observed_at = first_hour + n * interval '1 hour'
    CROSS JOIN LATERAL (SELECT coalesce(hour.filled, -1::smallint) <> whole.filled AS is_gap) AS difference
    GROUP BY whole.city_id
)
UPDATE incoming_response AS response
SET first_hour = whole.first_hour, last_hour = whole.last_hour, filled = whole.filled, gap_offsets = gap.offsets,
    gap_filled = gap.filled, sha256 = NULL
FROM whole
JOIN gap USING (city_id)
WHERE response.city_id = whole.city_id;
