-- title: Heat index
-- description: Highest heat index of the day, in °C, from hourly temperature and humidity. The United States weather service advises caution from 26.7, extreme caution from 32.2, and sees danger from 39.4 and extreme danger from 51.7.
SELECT city_id, city, date, max_heat_index_c
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
ORDER BY date DESC, city, city_id
