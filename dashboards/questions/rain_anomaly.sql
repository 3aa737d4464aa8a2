-- title: Rain against normal
-- description: Precipitation of each complete week minus the mean of the same week in the base period, in mm.
SELECT city, start_date, precipitation_anomaly_mm
FROM mart_weekly_city_anomaly
WHERE precipitation_anomaly_mm IS NOT NULL [[AND {{week_city}}]] [[AND {{week_date}}]]
ORDER BY start_date DESC, city, city_id
