-- Weeks and months of the daily mart. A row is there as soon as one of its days is; is_complete says whether all are.

CREATE TABLE mart_weekly_city_weather (
    city_id                   text NOT NULL,
    city                      text NOT NULL,
    -- an ISO week as DHIS2 reads it, with two digits, so that the text sorts by time: 2026W47, 2027W01
    period                    text NOT NULL,
    iso_year                  smallint NOT NULL,
    iso_week                  smallint NOT NULL,
    start_date                date NOT NULL,
    end_date                  date NOT NULL,
    avg_temperature_c         numeric,
    min_temperature_c         numeric,
    max_temperature_c         numeric,
    avg_max_temperature_c     numeric,
    avg_min_temperature_c     numeric,
    avg_temperature_range_c   numeric,
    avg_humidity              numeric,
    min_humidity              numeric,
    max_humidity              numeric,
    precipitation_mm          numeric,
    max_precipitation_1day_mm numeric,
    wettest_date              date,
    rain_days                 smallint,
    heavy_rain_days           smallint,
    dry_spell_days            smallint,
    wet_spell_days            smallint,
    hot_days                  smallint,
    tropical_nights           smallint,
    max_wind_speed_kmh        numeric,
    max_uv_index              numeric,
    max_heat_index_c          numeric,
    days_expected             smallint NOT NULL,
    days_complete             smallint NOT NULL,
    hours_forecast            integer NOT NULL,
    is_complete               boolean NOT NULL,
    updated_at                timestamptz NOT NULL DEFAULT now(),
    run_id                    text COLLATE "C" NOT NULL,
    PRIMARY KEY (city_id, period)
);
CREATE INDEX mart_weekly_city_weather_start_date ON mart_weekly_city_weather (start_date);

CREATE TABLE mart_monthly_city_weather (
    city_id                   text NOT NULL,
    city                      text NOT NULL,
    -- as DHIS2 writes a month: 202611
    period                    text NOT NULL,
    year                      smallint NOT NULL,
    month                     smallint NOT NULL,
    start_date                date NOT NULL,
    end_date                  date NOT NULL,
    avg_temperature_c         numeric,
    min_temperature_c         numeric,
    max_temperature_c         numeric,
    avg_max_temperature_c     numeric,
    avg_min_temperature_c     numeric,
    avg_temperature_range_c   numeric,
    avg_humidity              numeric,
    min_humidity              numeric,
    max_humidity              numeric,
    precipitation_mm          numeric,
    max_precipitation_1day_mm numeric,
    wettest_date              date,
    rain_days                 smallint,
    heavy_rain_days           smallint,
    dry_spell_days            smallint,
    wet_spell_days            smallint,
    hot_days                  smallint,
    tropical_nights           smallint,
    max_wind_speed_kmh        numeric,
    max_uv_index              numeric,
    max_heat_index_c          numeric,
    is_rain_suitable          boolean,
    is_temperature_suitable   boolean,
    is_humidity_suitable      boolean,
    is_malaria_suitable       boolean,
    days_expected             smallint NOT NULL,
    days_complete             smallint NOT NULL,
    hours_forecast            integer NOT NULL,
    is_complete               boolean NOT NULL,
    updated_at                timestamptz NOT NULL DEFAULT now(),
    run_id                    text COLLATE "C" NOT NULL,
    PRIMARY KEY (city_id, period)
);
CREATE INDEX mart_monthly_city_weather_start_date ON mart_monthly_city_weather (start_date);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ikirere_loader') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON mart_weekly_city_weather, mart_monthly_city_weather TO ikirere_loader;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'metabase_reader') THEN
        GRANT SELECT ON mart_weekly_city_weather, mart_monthly_city_weather TO metabase_reader;
    END IF;
END
$$;

-- The length of the longest run of ones in these bits, null for null: each step takes one off the end of every run.
CREATE FUNCTION longest_run(bits bigint) RETURNS smallint
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    length smallint := 0;
BEGIN
    WHILE bits <> 0 LOOP
        length := length + 1;
        bits := bits & (bits >> 1);
    END LOOP;
    RETURN length;
END
$$;

-- The measures of some weeks or months (the unit), from the daily mart. Both arrays have one element for each period, its
-- city and its first day. A measure is over the days that have a value, null if none has. A day without a row or
-- without rain ends a spell. The thresholds are those of ETCCDI (https://etccdi.pacificclimate.org/list_27_indices.shtml:
-- R1mm, R20mm, CDD, CWD; its TR leaves out a night of exactly 20 °C) and of ET-SCI (https://climpact-sci.org/indices/:
-- TXge30); a month's suitability for malaria is that of Grover-Kopec et al. 2006
-- (https://doi.org/10.1186/1475-2875-5-38).
CREATE FUNCTION period_measures(unit text, city_ids text[], start_dates date[])
RETURNS TABLE (
    city_id text, city text, period text, year smallint, number smallint, start_date date, end_date date,
    avg_temperature_c numeric, min_temperature_c numeric, max_temperature_c numeric, avg_max_temperature_c numeric,
    avg_min_temperature_c numeric, avg_temperature_range_c numeric, avg_humidity numeric, min_humidity numeric,
    max_humidity numeric, precipitation_mm numeric, max_precipitation_1day_mm numeric, wettest_date date,
    rain_days smallint, heavy_rain_days smallint, dry_spell_days smallint, wet_spell_days smallint, hot_days smallint,
    tropical_nights smallint, max_wind_speed_kmh numeric, max_uv_index numeric, max_heat_index_c numeric,
    days_stored smallint, days_expected smallint, days_complete smallint, hours_forecast integer, is_complete boolean,
    is_rain_suitable boolean, is_temperature_suitable boolean, is_humidity_suitable boolean, is_malaria_suitable boolean
)
LANGUAGE sql STABLE AS $$
    SELECT
        wanted_city,
        dim_city.city,
        CASE unit
            WHEN 'week' THEN to_char(first_day, 'IYYY"W"IW')
            ELSE to_char(first_day, 'YYYYMM')
        END,
        (CASE unit WHEN 'week' THEN extract(isoyear FROM first_day) ELSE extract(year FROM first_day) END)::smallint,
        (CASE unit WHEN 'week' THEN extract(week FROM first_day) ELSE extract(month FROM first_day) END)::smallint,
        first_day, last_day, avg_temperature_c, min_temperature_c, max_temperature_c, avg_max_temperature_c,
        avg_min_temperature_c, avg_temperature_range_c, avg_humidity, min_humidity, max_humidity, precipitation_mm,
        max_precipitation_1day_mm, wettest_date, rain_days, heavy_rain_days, dry_spell_days, wet_spell_days, hot_days,
        tropical_nights, max_wind_speed_kmh, max_uv_index, max_heat_index_c, days_stored, days_expected, days_complete,
        hours_forecast, days_complete = days_expected, rain, temperature, humidity,
        -- null as soon as one condition is not known, also if another one is not met
        CASE
            WHEN rain IS NOT NULL AND temperature IS NOT NULL AND humidity IS NOT NULL
                THEN rain AND temperature AND humidity
        END
    FROM (
        SELECT wanted_city, first_day, last_day, (last_day - first_day + 1)::smallint AS days_expected
        FROM unnest(city_ids, start_dates) AS each_period (wanted_city, first_day)
        CROSS JOIN LATERAL (SELECT (first_day + ('1 ' || unit)::interval)::date - 1 AS last_day) AS period_end
    ) AS wanted
    -- each period through the primary key: its days are neither sorted nor grouped
    CROSS JOIN LATERAL (
        SELECT
            -- the daily means are rounded, to 16 decimals: without fewer here, equal weeks of two years could differ
            trim_scale(round(avg(avg_temperature_c), 12)) AS avg_temperature_c,
            min(min_temperature_c) AS min_temperature_c,
            max(max_temperature_c) AS max_temperature_c,
            trim_scale(avg(max_temperature_c)) AS avg_max_temperature_c,
            trim_scale(avg(min_temperature_c)) AS avg_min_temperature_c,
            trim_scale(avg(temperature_range_c)) AS avg_temperature_range_c,
            trim_scale(avg(avg_humidity)) AS avg_humidity,
            min(min_humidity) AS min_humidity,
            max(max_humidity) AS max_humidity,
            sum(precipitation_mm) AS precipitation_mm,
            max(precipitation_mm) AS max_precipitation_1day_mm,
            -- the first of equals; none if no rain fell
            (array_agg(date ORDER BY precipitation_mm DESC, date) FILTER (WHERE precipitation_mm > 0))[1] AS wettest_date,
            sum((precipitation_mm >= 1)::integer)::smallint AS rain_days,
            sum((precipitation_mm >= 20)::integer)::smallint AS heavy_rain_days,
            -- one bit for each day from the first on: 0 for a day without a row or without rain
            longest_run(bit_or((precipitation_mm < 1)::integer::bigint << (date - first_day))) AS dry_spell_days,
            longest_run(bit_or((precipitation_mm >= 1)::integer::bigint << (date - first_day))) AS wet_spell_days,
            sum((max_temperature_c >= 30)::integer)::smallint AS hot_days,
            sum((min_temperature_c >= 20)::integer)::smallint AS tropical_nights,
            max(max_wind_speed_kmh) AS max_wind_speed_kmh,
            max(max_uv_index) AS max_uv_index,
            max(max_heat_index_c) AS max_heat_index_c,
            count(date)::smallint AS days_stored,
            (count(*) FILTER (WHERE hours_observed = hours_expected AND hours_forecast = 0))::smallint AS days_complete,
            coalesce(sum(hours_forecast), 0)::integer AS hours_forecast
        FROM mart_daily_city_weather AS day
        WHERE day.city_id = wanted_city AND date BETWEEN first_day AND last_day
    ) AS measured
    JOIN dim_city ON dim_city.city_id = wanted_city
    CROSS JOIN LATERAL (
        -- a rounded mean of daily means of 16 decimals meets a whole number that it is equal to
        SELECT precipitation_mm >= 80 AS rain, avg_temperature_c BETWEEN 18 AND 32 AS temperature,
            avg_humidity >= 60 AS humidity
    ) AS is_suitable
$$;

-- The run of a row is the one that last wrote one of its days.
INSERT INTO mart_weekly_city_weather (city_id, city, period, iso_year, iso_week, start_date, end_date,
    avg_temperature_c, min_temperature_c, max_temperature_c, avg_max_temperature_c, avg_min_temperature_c,
    avg_temperature_range_c, avg_humidity, min_humidity, max_humidity, precipitation_mm, max_precipitation_1day_mm,
    wettest_date, rain_days, heavy_rain_days, dry_spell_days, wet_spell_days, hot_days, tropical_nights,
    max_wind_speed_kmh, max_uv_index, max_heat_index_c, days_expected, days_complete, hours_forecast, is_complete,
    run_id)
SELECT measures.city_id, measures.city, period, year, number, start_date, end_date, avg_temperature_c,
    min_temperature_c, max_temperature_c, avg_max_temperature_c, avg_min_temperature_c, avg_temperature_range_c,
    avg_humidity, min_humidity, max_humidity, precipitation_mm, max_precipitation_1day_mm, wettest_date, rain_days,
    heavy_rain_days, dry_spell_days, wet_spell_days, hot_days, tropical_nights, max_wind_speed_kmh, max_uv_index,
    max_heat_index_c, days_expected, days_complete, hours_forecast, is_complete, run_id
FROM (
    SELECT array_agg(city_id) AS city_ids, array_agg(start_date) AS start_dates
    FROM (
        SELECT DISTINCT city_id, date_trunc('week', date::timestamp)::date AS start_date FROM mart_daily_city_weather
    ) AS stored
) AS every_week
CROSS JOIN LATERAL period_measures('week', city_ids, start_dates) AS measures
CROSS JOIN LATERAL (
    SELECT run_id
    FROM mart_daily_city_weather AS day
    WHERE day.city_id = measures.city_id AND date BETWEEN start_date AND end_date
    ORDER BY day.updated_at DESC, date DESC
    LIMIT 1
) AS last_written;

INSERT INTO mart_monthly_city_weather (city_id, city, period, year, month, start_date, end_date, avg_temperature_c,
    min_temperature_c, max_temperature_c, avg_max_temperature_c, avg_min_temperature_c, avg_temperature_range_c,
    avg_humidity, min_humidity, max_humidity, precipitation_mm, max_precipitation_1day_mm, wettest_date, rain_days,
    heavy_rain_days, dry_spell_days, wet_spell_days, hot_days, tropical_nights, max_wind_speed_kmh, max_uv_index,
    max_heat_index_c, is_rain_suitable, is_temperature_suitable, is_humidity_suitable, is_malaria_suitable,
    days_expected, days_complete, hours_forecast, is_complete, run_id)
SELECT measures.city_id, measures.city, period, year, number, start_date, end_date, avg_temperature_c,
    min_temperature_c, max_temperature_c, avg_max_temperature_c, avg_min_temperature_c, avg_temperature_range_c,
    avg_humidity, min_humidity, max_humidity, precipitation_mm, max_precipitation_1day_mm, wettest_date, rain_days,
    heavy_rain_days, dry_spell_days, wet_spell_days, hot_days, tropical_nights, max_wind_speed_kmh, max_uv_index,
    max_heat_index_c, is_rain_suitable, is_temperature_suitable, is_humidity_suitable, is_malaria_suitable,
    days_expected, days_complete, hours_forecast, is_complete, run_id
FROM (
    SELECT array_agg(city_id) AS city_ids, array_agg(start_date) AS start_dates
    FROM (
        SELECT DISTINCT city_id, date_trunc('month', date::timestamp)::date AS start_date FROM mart_daily_city_weather
    ) AS stored
) AS every_month
CROSS JOIN LATERAL period_measures('month', city_ids, start_dates) AS measures
CROSS JOIN LATERAL (
    SELECT run_id
    FROM mart_daily_city_weather AS day
    WHERE day.city_id = measures.city_id AND date BETWEEN start_date AND end_date
    ORDER BY day.updated_at DESC, date DESC
    LIMIT 1
) AS last_written;
