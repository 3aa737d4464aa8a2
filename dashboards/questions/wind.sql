-- title: Wind
-- description: Highest hourly wind speed of the day at 10 m, in km/h.
SELECT city_id, city, date, max_wind_speed_kmh
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
ORDER BY date DESC, city, city_id
