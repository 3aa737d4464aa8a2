-- title: Error of temperature forecasts
-- description: Mean absolute error of the forecasts of the day's mean, lowest and highest temperature, in °C, by days ahead, over the days of all cities shown.
SELECT
    lead_days,
    variable,
    round(sum(mean_absolute_error * days) / sum(days), 2) AS mean_absolute_error,
    sum(days) AS days
FROM mart_forecast_skill
WHERE variable IN ('avg_temperature_c', 'min_temperature_c', 'max_temperature_c') [[AND {{skill_city}}]]
GROUP BY lead_days, variable
ORDER BY lead_days, variable
