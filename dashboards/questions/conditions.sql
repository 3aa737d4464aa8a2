-- title: Conditions
-- description: The most frequent condition of the day; in a tie the more severe one.
SELECT city_id, city, date, dominant_condition
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
ORDER BY date DESC, city, city_id
