-- title: City and month
-- description: Mean temperature and rain of each city and month, from the days with data; completeness is for the whole month.
SELECT
    city,
    month::date,
    round(avg(avg_temperature_c), 1) AS mean_temperature_c,
    sum(precipitation_mm) AS rain_mm,
    count(*) AS days,
    extract(day FROM month + interval '1 month' - interval '1 day')::integer AS days_of_month,
    least(round(100 * sum(hours_observed)
        / (24 * extract(day FROM month + interval '1 month' - interval '1 day')), 1), 100) AS percent_observed
FROM mart_daily_city_weather
CROSS JOIN LATERAL date_trunc('month', date::timestamp) AS month
WHERE true [[AND {{city}}]] [[AND {{date}}]]
GROUP BY city_id, city, month
ORDER BY month DESC, city, city_id
