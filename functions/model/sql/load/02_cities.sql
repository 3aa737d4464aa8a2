-- dim_city becomes the list; a city that is no longer listed stays, inactive. A city whose name, zone, population or
-- area changed has all its days recomputed: those it has now and those its hours belong to from now on.
INSERT INTO affected (city_id, days)
SELECT mart.city_id, daterange(min(mart.date), max(mart.date), '[]')
FROM mart_daily_city_weather AS mart
JOIN dim_city AS old USING (city_id)
JOIN listed_city AS new USING (city_id)
WHERE (old.city, old.timezone, old.population, old.area_km2)
    IS DISTINCT FROM (new.city, new.timezone, new.population, new.area_km2)
GROUP BY mart.city_id
UNION ALL
SELECT hour.city_id, daterange(
    (min(hour.observed_at) AT TIME ZONE new.timezone)::date, (max(hour.observed_at) AT TIME ZONE new.timezone)::date, '[]'
)
FROM staging_weather AS hour
JOIN dim_city AS old USING (city_id)
JOIN listed_city AS new USING (city_id)
WHERE old.timezone <> new.timezone
GROUP BY hour.city_id, new.timezone;

-- Forecasts of local days that the city no longer has; those of its new zone come with the next responses, or a rebuild.
DELETE FROM forecast_day AS forecast
USING dim_city AS old
JOIN listed_city AS new USING (city_id)
WHERE forecast.city_id = old.city_id AND old.timezone <> new.timezone;

MERGE INTO dim_city AS old
USING listed_city AS new ON old.city_id = new.city_id
WHEN MATCHED AND old IS DISTINCT FROM new THEN
    UPDATE SET city = new.city, country = new.country, latitude = new.latitude, longitude = new.longitude,
        timezone = new.timezone, population = new.population, area_km2 = new.area_km2, active = new.active
WHEN NOT MATCHED THEN
    INSERT VALUES (new.city_id, new.city, new.country, new.latitude, new.longitude, new.timezone,
        new.population, new.area_km2, new.active);

UPDATE dim_city SET active = false
WHERE active AND city_id NOT IN (SELECT city_id FROM listed_city);

INSERT INTO city_list (sha256) VALUES (%(sha256)s)
ON CONFLICT (only_row) DO UPDATE SET sha256 = excluded.sha256;
