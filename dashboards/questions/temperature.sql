-- title: Temperature
-- description: Lowest, mean and highest temperature of the day, in °C; for an incomplete day, of the hours with data.
SELECT
    city_id,
    city,
    date,
    min_temperature_c,
    avg_temperature_c,
    max_temperature_c,
    hours_observed < hours_expected AS is_incomplete
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
ORDER BY date DESC, city, city_id
