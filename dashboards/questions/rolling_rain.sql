-- title: Rain of 7, 30 and 90 days
-- description: Precipitation of the 7, 30 and 90 days up to and including each day, in mm; none if one of these days is missing.
SELECT city_id, city, date, rain_7_days_mm, rain_30_days_mm, rain_90_days_mm
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
ORDER BY date DESC, city, city_id
