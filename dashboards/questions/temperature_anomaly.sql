-- title: Temperature against normal
-- description: Mean temperature of each complete week minus the mean of the same week in the base period, in °C.
SELECT city, start_date, temperature_anomaly_c
FROM mart_weekly_city_anomaly
WHERE temperature_anomaly_c IS NOT NULL [[AND {{week_city}}]] [[AND {{week_date}}]]
ORDER BY start_date DESC, city, city_id
