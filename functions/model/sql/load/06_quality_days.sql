-- Recomputed days that were over when the run was fetched, and still lack hours.
INSERT INTO finding (rule, city_id, date, count, example)
SELECT 'incomplete_day', city_id, date, hours_expected - hours_observed,
    format('%s of %s hours have a temperature', hours_observed, hours_expected)
FROM recomputed_day
JOIN dim_city USING (city_id)
WHERE hours_observed < hours_expected
    AND (date + 1)::timestamp AT TIME ZONE timezone <= (SELECT max(fetched_at) FROM incoming_response);
