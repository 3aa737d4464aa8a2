-- The weeks and months of the affected days, made again from the daily mart; only rows that differ are written. A period
-- that has lost its last day, since its city's time zone has changed, loses its row.
CREATE TEMPORARY TABLE affected_period ON COMMIT DROP AS
SELECT DISTINCT unit, city_id, start_date::date AS start_date
FROM affected_range
CROSS JOIN unnest(ARRAY['week', 'month']) AS unit
CROSS JOIN LATERAL generate_series(
    date_trunc(unit, first_day::timestamp), last_day::timestamp, ('1 ' || unit)::interval
) AS start_date;

CREATE TEMPORARY TABLE recomputed_week ON COMMIT DROP AS
SELECT
    city_id, city, period, year AS iso_year, number AS iso_week, start_date, end_date, avg_temperature_c,
    min_temperature_c, max_temperature_c, avg_max_temperature_c, avg_min_temperature_c, avg_temperature_range_c,
    avg_humidity, min_humidity, max_humidity, precipitation_mm, max_precipitation_1day_mm, wettest_date, rain_days,
    heavy_rain_days, dry_spell_days, wet_spell_days, hot_days, tropical_nights, max_wind_speed_kmh, max_uv_index,
    max_heat_index_c, days_stored, days_expected, days_complete, hours_forecast, is_complete
FROM (
    SELECT array_agg(city_id) AS city_ids, array_agg(start_date) AS start_dates
    FROM affected_period
    WHERE unit = 'week'
) AS affected
CROSS JOIN LATERAL period_measures('week', city_ids, start_dates) AS measures;

CREATE TEMPORARY TABLE recomputed_month ON COMMIT DROP AS
SELECT
    city_id, city, period, year, number AS month, start_date, end_date, avg_temperature_c, min_temperature_c,
    max_temperature_c, avg_max_temperature_c, avg_min_temperature_c, avg_temperature_range_c, avg_humidity,
    min_humidity, max_humidity, precipitation_mm, max_precipitation_1day_mm, wettest_date, rain_days, heavy_rain_days,
    dry_spell_days, wet_spell_days, hot_days, tropical_nights, max_wind_speed_kmh, max_uv_index, max_heat_index_c,
    is_rain_suitable, is_temperature_suitable, is_humidity_suitable, is_malaria_suitable, days_stored, days_expected,
    days_complete, hours_forecast, is_complete
FROM (
    SELECT array_agg(city_id) AS city_ids, array_agg(start_date) AS start_dates
    FROM affected_period
    WHERE unit = 'month'
) AS affected
CROSS JOIN LATERAL period_measures('month', city_ids, start_dates) AS measures;

MERGE INTO mart_weekly_city_weather AS mart
USING recomputed_week AS new ON mart.city_id = new.city_id AND mart.period = new.period
WHEN MATCHED AND new.days_stored = 0 THEN
    DELETE
WHEN MATCHED AND
    (mart.city, mart.iso_year, mart.iso_week, mart.start_date, mart.end_date, mart.avg_temperature_c,
        mart.min_temperature_c, mart.max_temperature_c, mart.avg_max_temperature_c, mart.avg_min_temperature_c,
        mart.avg_temperature_range_c, mart.avg_humidity, mart.min_humidity, mart.max_humidity, mart.precipitation_mm,
        mart.max_precipitation_1day_mm, mart.wettest_date, mart.rain_days, mart.heavy_rain_days, mart.dry_spell_days,
        mart.wet_spell_days, mart.hot_days, mart.tropical_nights, mart.max_wind_speed_kmh, mart.max_uv_index,
        mart.max_heat_index_c, mart.days_expected, mart.days_complete, mart.hours_forecast, mart.is_complete)
    IS DISTINCT FROM
    (new.city, new.iso_year, new.iso_week, new.start_date, new.end_date, new.avg_temperature_c, new.min_temperature_c,
        new.max_temperature_c, new.avg_max_temperature_c, new.avg_min_temperature_c, new.avg_temperature_range_c,
        new.avg_humidity, new.min_humidity, new.max_humidity, new.precipitation_mm, new.max_precipitation_1day_mm,
        new.wettest_date, new.rain_days, new.heavy_rain_days, new.dry_spell_days, new.wet_spell_days, new.hot_days,
        new.tropical_nights, new.max_wind_speed_kmh, new.max_uv_index, new.max_heat_index_c, new.days_expected,
        new.days_complete, new.hours_forecast, new.is_complete)
THEN
    UPDATE SET city = new.city, iso_year = new.iso_year, iso_week = new.iso_week, start_date = new.start_date,
        end_date = new.end_date, avg_temperature_c = new.avg_temperature_c, min_temperature_c = new.min_temperature_c,
        max_temperature_c = new.max_temperature_c, avg_max_temperature_c = new.avg_max_temperature_c,
        avg_min_temperature_c = new.avg_min_temperature_c, avg_temperature_range_c = new.avg_temperature_range_c,
        avg_humidity = new.avg_humidity, min_humidity = new.min_humidity, max_humidity = new.max_humidity,
        precipitation_mm = new.precipitation_mm, max_precipitation_1day_mm = new.max_precipitation_1day_mm,
        wettest_date = new.wettest_date, rain_days = new.rain_days, heavy_rain_days = new.heavy_rain_days,
        dry_spell_days = new.dry_spell_days, wet_spell_days = new.wet_spell_days, hot_days = new.hot_days,
        tropical_nights = new.tropical_nights, max_wind_speed_kmh = new.max_wind_speed_kmh,
        max_uv_index = new.max_uv_index, max_heat_index_c = new.max_heat_index_c, days_expected = new.days_expected,
        days_complete = new.days_complete, hours_forecast = new.hours_forecast, is_complete = new.is_complete,
        updated_at = now(), run_id = %(run_id)s
WHEN NOT MATCHED AND new.days_stored > 0 THEN
    INSERT (city_id, period, city, iso_year, iso_week, start_date, end_date, avg_temperature_c, min_temperature_c,
        max_temperature_c, avg_max_temperature_c, avg_min_temperature_c, avg_temperature_range_c, avg_humidity,
        min_humidity, max_humidity, precipitation_mm, max_precipitation_1day_mm, wettest_date, rain_days,
        heavy_rain_days, dry_spell_days, wet_spell_days, hot_days, tropical_nights, max_wind_speed_kmh, max_uv_index,
        max_heat_index_c, days_expected, days_complete, hours_forecast, is_complete, run_id)
    VALUES (new.city_id, new.period, new.city, new.iso_year, new.iso_week, new.start_date, new.end_date,
        new.avg_temperature_c, new.min_temperature_c, new.max_temperature_c, new.avg_max_temperature_c,
        new.avg_min_temperature_c, new.avg_temperature_range_c, new.avg_humidity, new.min_humidity, new.max_humidity,
        new.precipitation_mm, new.max_precipitation_1day_mm, new.wettest_date, new.rain_days, new.heavy_rain_days,
        new.dry_spell_days, new.wet_spell_days, new.hot_days, new.tropical_nights, new.max_wind_speed_kmh,
        new.max_uv_index, new.max_heat_index_c, new.days_expected, new.days_complete, new.hours_forecast,
        new.is_complete, %(run_id)s);

MERGE INTO mart_monthly_city_weather AS mart
USING recomputed_month AS new ON mart.city_id = new.city_id AND mart.period = new.period
WHEN MATCHED AND new.days_stored = 0 THEN
    DELETE
WHEN MATCHED AND
    (mart.city, mart.year, mart.month, mart.start_date, mart.end_date, mart.avg_temperature_c, mart.min_temperature_c,
        mart.max_temperature_c, mart.avg_max_temperature_c, mart.avg_min_temperature_c, mart.avg_temperature_range_c,
        mart.avg_humidity, mart.min_humidity, mart.max_humidity, mart.precipitation_mm, mart.max_precipitation_1day_mm,
        mart.wettest_date, mart.rain_days, mart.heavy_rain_days, mart.dry_spell_days, mart.wet_spell_days,
        mart.hot_days, mart.tropical_nights, mart.max_wind_speed_kmh, mart.max_uv_index, mart.max_heat_index_c,
        mart.is_rain_suitable, mart.is_temperature_suitable, mart.is_humidity_suitable, mart.is_malaria_suitable,
        mart.days_expected, mart.days_complete, mart.hours_forecast, mart.is_complete)
    IS DISTINCT FROM
    (new.city, new.year, new.month, new.start_date, new.end_date, new.avg_temperature_c, new.min_temperature_c,
        new.max_temperature_c, new.avg_max_temperature_c, new.avg_min_temperature_c, new.avg_temperature_range_c,
        new.avg_humidity, new.min_humidity, new.max_humidity, new.precipitation_mm, new.max_precipitation_1day_mm,
        new.wettest_date, new.rain_days, new.heavy_rain_days, new.dry_spell_days, new.wet_spell_days, new.hot_days,
        new.tropical_nights, new.max_wind_speed_kmh, new.max_uv_index, new.max_heat_index_c, new.is_rain_suitable,
        new.is_temperature_suitable, new.is_humidity_suitable, new.is_malaria_suitable, new.days_expected,
        new.days_complete, new.hours_forecast, new.is_complete)
THEN
    UPDATE SET city = new.city, year = new.year, month = new.month, start_date = new.start_date,
        end_date = new.end_date, avg_temperature_c = new.avg_temperature_c, min_temperature_c = new.min_temperature_c,
        max_temperature_c = new.max_temperature_c, avg_max_temperature_c = new.avg_max_temperature_c,
        avg_min_temperature_c = new.avg_min_temperature_c, avg_temperature_range_c = new.avg_temperature_range_c,
        avg_humidity = new.avg_humidity, min_humidity = new.min_humidity, max_humidity = new.max_humidity,
        precipitation_mm = new.precipitation_mm, max_precipitation_1day_mm = new.max_precipitation_1day_mm,
        wettest_date = new.wettest_date, rain_days = new.rain_days, heavy_rain_days = new.heavy_rain_days,
        dry_spell_days = new.dry_spell_days, wet_spell_days = new.wet_spell_days, hot_days = new.hot_days,
        tropical_nights = new.tropical_nights, max_wind_speed_kmh = new.max_wind_speed_kmh,
        max_uv_index = new.max_uv_index, max_heat_index_c = new.max_heat_index_c,
        is_rain_suitable = new.is_rain_suitable, is_temperature_suitable = new.is_temperature_suitable,
        is_humidity_suitable = new.is_humidity_suitable, is_malaria_suitable = new.is_malaria_suitable,
        days_expected = new.days_expected, days_complete = new.days_complete, hours_forecast = new.hours_forecast,
        is_complete = new.is_complete, updated_at = now(), run_id = %(run_id)s
WHEN NOT MATCHED AND new.days_stored > 0 THEN
    INSERT (city_id, period, city, year, month, start_date, end_date, avg_temperature_c, min_temperature_c,
        max_temperature_c, avg_max_temperature_c, avg_min_temperature_c, avg_temperature_range_c, avg_humidity,
        min_humidity, max_humidity, precipitation_mm, max_precipitation_1day_mm, wettest_date, rain_days,
        heavy_rain_days, dry_spell_days, wet_spell_days, hot_days, tropical_nights, max_wind_speed_kmh, max_uv_index,
        max_heat_index_c, is_rain_suitable, is_temperature_suitable, is_humidity_suitable, is_malaria_suitable,
        days_expected, days_complete, hours_forecast, is_complete, run_id)
    VALUES (new.city_id, new.period, new.city, new.year, new.month, new.start_date, new.end_date, new.avg_temperature_c,
        new.min_temperature_c, new.max_temperature_c, new.avg_max_temperature_c, new.avg_min_temperature_c,
        new.avg_temperature_range_c, new.avg_humidity, new.min_humidity, new.max_humidity, new.precipitation_mm,
        new.max_precipitation_1day_mm, new.wettest_date, new.rain_days, new.heavy_rain_days, new.dry_spell_days,
        new.wet_spell_days, new.hot_days, new.tropical_nights, new.max_wind_speed_kmh, new.max_uv_index,
        new.max_heat_index_c, new.is_rain_suitable, new.is_temperature_suitable, new.is_humidity_suitable,
        new.is_malaria_suitable, new.days_expected, new.days_complete, new.hours_forecast, new.is_complete, %(run_id)s);
