-- Makes dim_city equal to the city list; a city that left the list stays, inactive. If the name, time zone,
-- population or area of a city changed, all its city-days are recomputed: those of the old and of the new zone.
INSERT INTO affected_city_day (city_id, date)
SELECT mart.city_id, mart.date
FROM mart_daily_city_weather AS mart
JOIN dim_city AS old USING (city_id)
JOIN listed_city AS new USING (city_id)
WHERE (old.city, old.timezone, old.population, old.area_km2)
    IS DISTINCT FROM (new.city, new.timezone, new.population, new.area_km2)
UNION
SELECT hour.city_id, (hour.observed_at AT TIME ZONE new.timezone)::date
FROM staging_weather AS hour
JOIN dim_city AS old USING (city_id)
JOIN listed_city AS new USING (city_id)
WHERE old.timezone <> new.timezone;

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
