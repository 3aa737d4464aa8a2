-- title: Heat days
-- description: Days of each month with a highest temperature of 30 °C or more, among the days with a temperature.
SELECT
    city,
    date_trunc('month', date)::date AS month,
    count(*) FILTER (WHERE max_temperature_c >= 30) AS heat_days,
    count(max_temperature_c) AS days_with_temperature
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
GROUP BY city_id, city, date_trunc('month', date)
ORDER BY month, city
