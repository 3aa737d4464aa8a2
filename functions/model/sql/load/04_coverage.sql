-- Which response has which hours and columns: what a later load compares its precedence with.
INSERT INTO staging_coverage (city_id, source, fetched_at, run_id, first_hour, last_hour, filled, gap_offsets, gap_filled,
    sha256)
SELECT city_id, source, fetched_at, run_id, first_hour, last_hour, filled, gap_offsets, gap_filled, sha256
FROM incoming_response
ON CONFLICT DO NOTHING;

-- A response of lower precedence that has nothing beyond this one never decides anything again.
DELETE FROM staging_coverage AS lower
USING incoming_response AS response
WHERE lower.city_id = response.city_id
    AND lower.last_hour BETWEEN response.first_hour AND response.last_hour
    AND (lower.source = 'archive', lower.fetched_at, lower.run_id)
        < (response.source = 'archive', response.fetched_at, response.run_id)
    AND coverage_contains(
        (response.city_id, response.source, response.fetched_at, response.run_id, response.first_hour, response.last_hour,
            response.filled, response.gap_offsets, response.gap_filled, response.sha256)::staging_coverage,
        lower
    );
