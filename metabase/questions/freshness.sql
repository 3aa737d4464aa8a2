-- title: Freshness
-- description: For each city its first and last day, the days between them that are missing or incomplete, and when a value last changed.
SELECT
    city_id,
    city,
    min(date) AS first_day,
    max(date) AS last_day,
    count(*) AS days,
    max(date) - min(date) + 1 - count(*) AS missing_days,
    count(*) FILTER (WHERE hours_observed < hours_expected) AS incomplete_days,
    sum(hours_forecast) AS hours_forecast,
    max(updated_at) AS last_changed
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
GROUP BY city_id, city
ORDER BY city, city_id
