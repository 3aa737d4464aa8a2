-- title: Last seven days
-- description: The newest seven days of each city, with a flag for missing, incomplete and forecast data.
SELECT
    city,
    date,
    min_temperature_c,
    max_temperature_c,
    precipitation_mm,
    CASE
        WHEN hours_observed = 0 THEN 'no data'
        WHEN hours_observed < hours_expected THEN 'incomplete'
        WHEN hours_forecast > 0 THEN 'forecast'
        ELSE 'complete'
    END AS quality
FROM mart_daily_city_weather
-- Seven keys for each city: the mart is read through its primary key, not from end to end.
JOIN (
    SELECT city_id, newest.date - n AS date
    FROM dim_city
    CROSS JOIN LATERAL (
        SELECT max(day.date) AS date FROM mart_daily_city_weather AS day WHERE day.city_id = dim_city.city_id
    ) AS newest
    CROSS JOIN generate_series(0, 6) AS n
) AS newest_day USING (city_id, date)
WHERE true [[AND {{city}}]]
ORDER BY date DESC, city, city_id
