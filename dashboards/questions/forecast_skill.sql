-- title: Forecast skill
-- description: Forecasts against the archive, by days ahead: mean difference (bias) and mean absolute error, of temperatures in °C and of precipitation in mm; for days with at least 1 mm the share that was forecast, and the share of dry days forecast as wet.
SELECT
    city_id,
    city,
    variable,
    lead_days,
    days,
    round(bias, 2) AS bias,
    round(mean_absolute_error, 2) AS mean_absolute_error,
    round(100 * hit_rate) AS hit_percent,
    round(100 * false_alarm_rate) AS false_alarm_percent
FROM mart_forecast_skill
WHERE variable IN ('avg_temperature_c', 'min_temperature_c', 'max_temperature_c', 'precipitation_mm') [[AND {{skill_city}}]]
ORDER BY city, city_id, variable, lead_days
