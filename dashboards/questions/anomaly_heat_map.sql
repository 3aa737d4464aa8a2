-- title: Temperature anomalies by city and week
-- description: Difference of each complete week's mean temperature from the city's normal, in °C. Weeks without a normal are not listed; "Weeks against normal" has the reasons.
SELECT city, period, temperature_anomaly_c
FROM mart_weekly_city_anomaly
WHERE temperature_anomaly_c IS NOT NULL [[AND {{week_city}}]] [[AND {{week_date}}]]
ORDER BY period DESC, city, city_id
