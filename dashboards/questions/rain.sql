-- title: Rain
-- description: Precipitation of the day, in mm.
SELECT city_id, city, date, precipitation_mm
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
ORDER BY date DESC, city, city_id
