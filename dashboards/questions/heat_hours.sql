-- title: Hours of heat
-- description: Hours of each week with a heat index that calls for caution, extreme caution, or means danger or extreme danger; each counts the hours of the ones above it too. Only hours with temperature and humidity count.
SELECT
    city_id,
    city,
    date_trunc('week', date::timestamp)::date AS week,
    sum(hours_heat_caution) AS hours_caution,
    sum(hours_heat_extreme_caution) AS hours_extreme_caution,
    sum(hours_heat_danger) AS hours_danger,
    sum(hours_heat_extreme_danger) AS hours_extreme_danger
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
GROUP BY city_id, city, week
ORDER BY week DESC, city, city_id
