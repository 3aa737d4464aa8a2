-- title: City and month
-- description: Mean temperature, rain and completeness of each city's months.
SELECT
    city,
    date_trunc('month', date)::date AS month,
    round(avg(avg_temperature_c), 1) AS mean_temperature_c,
    sum(precipitation_mm) AS rain_mm,
    round(100.0 * sum(hours_observed) / sum(hours_expected), 1) AS percent_observed
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
GROUP BY city_id, city, date_trunc('month', date)
ORDER BY city, month
