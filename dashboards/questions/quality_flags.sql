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
WHERE date > (
    SELECT max(newest.date) - 7
    FROM mart_daily_city_weather AS newest
    WHERE newest.city_id = mart_daily_city_weather.city_id
) [[AND {{city}}]]
ORDER BY date DESC, city, city_id
