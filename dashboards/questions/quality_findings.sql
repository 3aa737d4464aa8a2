-- title: Data quality
-- description: What the quality rules found, by rule and city: days, hours of them, and the newest example. A day that was incomplete and is complete now does not count.
SELECT
    severity,
    rule,
    dim_city.city,
    city_id,
    count(*) AS days,
    sum(finding.count) AS hours,
    max(date) AS last_day,
    (array_agg(example ORDER BY date DESC))[1] AS example
FROM (
    SELECT DISTINCT ON (city_id, date, rule) city_id, date, rule, severity, count, example
    FROM quality_result
    ORDER BY city_id, date, rule, found_at DESC, run_id DESC
) AS finding
JOIN dim_city USING (city_id)
LEFT JOIN mart_daily_city_weather USING (city_id, date)
WHERE (rule <> 'incomplete_day' OR hours_observed < hours_expected) [[AND {{city}}]] [[AND {{date}}]]
GROUP BY severity, rule, dim_city.city, city_id
ORDER BY array_position(ARRAY['error', 'warning', 'info'], severity), count(*) DESC, rule, city, city_id
LIMIT 200
