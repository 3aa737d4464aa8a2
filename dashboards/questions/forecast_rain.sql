-- title: Forecasts of rain
-- description: Of the days with at least 1 mm the percentage that was forecast, and of the days with less the percentage that was forecast with more, by days ahead, over the days of all cities shown.
SELECT
    lead_days,
    round(100.0 * sum(hits) / nullif(sum(hits + misses), 0)) AS hit_percent,
    round(100.0 * sum(false_alarms) / nullif(sum(false_alarms + correct_negatives), 0)) AS false_alarm_percent,
    sum(days) AS days
FROM mart_forecast_skill
WHERE variable = 'precipitation_mm' [[AND {{skill_city}}]]
GROUP BY lead_days
ORDER BY lead_days
