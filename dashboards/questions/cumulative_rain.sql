-- title: Cumulative rain
-- description: Precipitation since the first day shown, in mm; a day without data adds nothing.
SELECT
    city,
    date,
    sum(precipitation_mm) OVER (PARTITION BY city_id ORDER BY date) AS cumulative_rain_mm
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
ORDER BY date DESC, city, city_id
