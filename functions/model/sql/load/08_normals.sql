-- The normals and thresholds of these cities, made again from the marts; only rows that differ are written. A row of
-- another base period goes, and that of a week or month that is complete in no year of the base any more.
CREATE TEMPORARY TABLE recomputed_normal ON COMMIT DROP AS
SELECT normal.* FROM normal_city CROSS JOIN LATERAL climate_normals(normal_city.city_id) AS normal;

CREATE TEMPORARY TABLE recomputed_threshold ON COMMIT DROP AS
SELECT threshold.* FROM normal_city CROSS JOIN LATERAL climate_thresholds(normal_city.city_id) AS threshold;

MERGE INTO climate_normal AS old
USING recomputed_normal AS new
ON old.city_id = new.city_id AND old.period_type = new.period_type AND old.period_number = new.period_number
    AND old.base_start = new.base_start AND old.base_end = new.base_end
WHEN MATCHED AND
    (old.years_used, old.temperature_mean_c, old.temperature_sd_c, old.temperature_p10_c, old.temperature_p50_c,
        old.temperature_p90_c, old.precipitation_mean_mm, old.precipitation_sd_mm, old.precipitation_p10_mm,
        old.precipitation_p50_mm, old.precipitation_p90_mm)
    IS DISTINCT FROM
    (new.years_used, new.temperature_mean_c, new.temperature_sd_c, new.temperature_p10_c, new.temperature_p50_c,
        new.temperature_p90_c, new.precipitation_mean_mm, new.precipitation_sd_mm, new.precipitation_p10_mm,
        new.precipitation_p50_mm, new.precipitation_p90_mm)
THEN
    UPDATE SET years_used = new.years_used, temperature_mean_c = new.temperature_mean_c,
        temperature_sd_c = new.temperature_sd_c, temperature_p10_c = new.temperature_p10_c,
        temperature_p50_c = new.temperature_p50_c, temperature_p90_c = new.temperature_p90_c,
        precipitation_mean_mm = new.precipitation_mean_mm, precipitation_sd_mm = new.precipitation_sd_mm,
        precipitation_p10_mm = new.precipitation_p10_mm, precipitation_p50_mm = new.precipitation_p50_mm,
        precipitation_p90_mm = new.precipitation_p90_mm
WHEN NOT MATCHED THEN
    INSERT (city_id, period_type, period_number, base_start, base_end, years_used, temperature_mean_c,
        temperature_sd_c, temperature_p10_c, temperature_p50_c, temperature_p90_c, precipitation_mean_mm,
        precipitation_sd_mm, precipitation_p10_mm, precipitation_p50_mm, precipitation_p90_mm)
    VALUES (new.city_id, new.period_type, new.period_number, new.base_start, new.base_end, new.years_used,
        new.temperature_mean_c, new.temperature_sd_c, new.temperature_p10_c, new.temperature_p50_c,
        new.temperature_p90_c, new.precipitation_mean_mm, new.precipitation_sd_mm, new.precipitation_p10_mm,
        new.precipitation_p50_mm, new.precipitation_p90_mm);

DELETE FROM climate_normal
WHERE city_id IN (SELECT city_id FROM normal_city)
    AND (city_id, period_type, period_number, base_start, base_end) NOT IN (
        SELECT city_id, period_type, period_number, base_start, base_end FROM recomputed_normal
    );

MERGE INTO climate_threshold AS old
USING recomputed_threshold AS new
ON old.city_id = new.city_id AND old.measure = new.measure
    AND old.base_start = new.base_start AND old.base_end = new.base_end
WHEN MATCHED AND (old.years_used, old.days_used, old.value) IS DISTINCT FROM (new.years_used, new.days_used, new.value)
THEN
    UPDATE SET years_used = new.years_used, days_used = new.days_used, value = new.value
WHEN NOT MATCHED THEN
    INSERT (city_id, measure, base_start, base_end, years_used, days_used, value)
    VALUES (new.city_id, new.measure, new.base_start, new.base_end, new.years_used, new.days_used, new.value);

DELETE FROM climate_threshold
WHERE city_id IN (SELECT city_id FROM normal_city)
    AND (city_id, measure, base_start, base_end) NOT IN (
        SELECT city_id, measure, base_start, base_end FROM recomputed_threshold
    );
