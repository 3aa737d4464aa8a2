-- title: Climate suitability for malaria
-- description: Whether a month's climate suits malaria (Grover-Kopec et al. 2006): rain of at least 80 mm, a mean temperature of 18 to 32 °C and a mean humidity of at least 60 %, all three. A month that is not complete can still change.
SELECT
    city_id,
    city,
    period,
    start_date,
    precipitation_mm,
    is_rain_suitable,
    round(avg_temperature_c, 1) AS avg_temperature_c,
    is_temperature_suitable,
    round(avg_humidity) AS avg_humidity,
    is_humidity_suitable,
    is_malaria_suitable,
    days_complete,
    days_expected
FROM mart_monthly_city_weather
WHERE true [[AND {{suitability_city}}]] [[AND {{suitability_date}}]]
ORDER BY start_date DESC, city, city_id
