-- title: Months against normal
-- description: Each month, its normal and its difference from it: mean temperature in °C, precipitation in mm. A reason says why a value is missing.
SELECT
    city_id,
    city,
    period,
    start_date,
    is_complete,
    round(temperature_c, 1) AS temperature_c,
    round(temperature_normal_c, 1) AS temperature_normal_c,
    round(temperature_anomaly_c, 1) AS temperature_anomaly_c,
    round(temperature_percentile) AS temperature_percentile,
    precipitation_mm,
    round(precipitation_normal_mm, 1) AS precipitation_normal_mm,
    round(precipitation_anomaly_mm, 1) AS precipitation_anomaly_mm,
    round(precipitation_percent_of_normal) AS precipitation_percent_of_normal,
    round(precipitation_percentile) AS precipitation_percentile,
    base_start,
    base_end,
    years_used,
    reason
FROM mart_monthly_city_anomaly
WHERE true [[AND {{month_city}}]] [[AND {{month_date}}]]
ORDER BY start_date DESC, city, city_id
