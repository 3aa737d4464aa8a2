-- title: Latest day on the map
-- description: Each city at its coordinates, with the values of its newest day that is complete and not a forecast.
SELECT DISTINCT ON (mart_daily_city_weather.city_id)
    mart_daily_city_weather.city,
    dim_city.latitude,
    dim_city.longitude,
    date,
    max_temperature_c,
    precipitation_mm,
    dominant_condition
FROM mart_daily_city_weather
JOIN dim_city USING (city_id)
WHERE hours_observed = hours_expected AND hours_forecast = 0 [[AND {{city}}]] [[AND {{date}}]]
ORDER BY mart_daily_city_weather.city_id, date DESC
