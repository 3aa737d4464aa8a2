-- title: Freshness
-- description: For each city: its first and last day, the days since the last one, missing and incomplete days between them, and the last change of a value.
SELECT
    city_id,
    dim_city.city,
    min(date) AS first_day,
    max(date) AS last_day,
    CASE WHEN max(date) IS NOT NULL THEN greatest(current_date - max(date), 0) END AS days_behind,
    count(date) AS days,
    coalesce(max(date) - min(date) + 1 - count(date), 0) AS missing_days,
    count(*) FILTER (WHERE hours_observed < hours_expected) AS incomplete_days,
    coalesce(sum(hours_forecast), 0) AS hours_forecast,
    max(updated_at) AS last_changed
FROM dim_city
LEFT JOIN mart_daily_city_weather USING (city_id)
WHERE (active OR date IS NOT NULL) [[AND {{city}}]]
GROUP BY city_id, dim_city.city
ORDER BY days_behind DESC NULLS FIRST, city, city_id
