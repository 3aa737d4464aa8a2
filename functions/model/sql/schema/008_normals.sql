-- What is normal for a city, and how far its weeks and months are from it (docs/decisions/0020-normals.md).

CREATE TABLE climate_normal (
    city_id              text NOT NULL,
    period_type          text NOT NULL CHECK (period_type IN ('week', 'month')),
    -- the ISO week, 1 to 53, or the month, 1 to 12
    period_number        smallint NOT NULL,
    -- first and last year of the base period
    base_start           smallint NOT NULL,
    base_end             smallint NOT NULL,
    years_used           smallint NOT NULL,
    temperature_mean_c    numeric NOT NULL,
    temperature_sd_c      numeric,
    temperature_p10_c     numeric NOT NULL,
    temperature_p50_c     numeric NOT NULL,
    temperature_p90_c     numeric NOT NULL,
    precipitation_mean_mm numeric,
    precipitation_sd_mm   numeric,
    precipitation_p10_mm  numeric,
    precipitation_p50_mm  numeric,
    precipitation_p90_mm  numeric,
    PRIMARY KEY (city_id, period_type, period_number, base_start, base_end)
);

CREATE TABLE climate_threshold (
    city_id    text NOT NULL,
    -- 'max_temperature_p95_c' or 'rain_3_days_p99_mm'
    measure    text NOT NULL,
    base_start smallint NOT NULL,
    base_end   smallint NOT NULL,
    years_used smallint NOT NULL,
    -- the number of values of which this is the percentile
    days_used  integer NOT NULL,
    value      numeric NOT NULL,
    PRIMARY KEY (city_id, measure, base_start, base_end)
);

-- The value at a fraction, 0 to 1, of sorted values: between two of them on a straight line. This is numpy's default and
-- Postgres's percentile_cont, which computes in double precision only. Null if there is no value.
-- One expression, without a subquery: so a query computes it itself, and calls no function for each value.
CREATE FUNCTION percentile_of(sorted numeric[], fraction numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT trim_scale(
        sorted[floor(fraction * (cardinality(sorted) - 1))::integer + 1]
        + (fraction * (cardinality(sorted) - 1) - floor(fraction * (cardinality(sorted) - 1)))
            * (
                sorted[ceil(fraction * (cardinality(sorted) - 1))::integer + 1]
                - sorted[floor(fraction * (cardinality(sorted) - 1))::integer + 1]
            )
    )
$$;

-- The base period of a city: 1991 to 2020 if ten of these years have twelve complete months, otherwise the first to the
-- last year that has. No row if there is none. complete_years are the years of the base that have.
CREATE FUNCTION climate_base(of_city text)
RETURNS TABLE (base_start smallint, base_end smallint, complete_years smallint[])
LANGUAGE sql STABLE AS $$
    SELECT base_start, base_end, array_agg(year ORDER BY year)
    FROM (
        SELECT
            year,
            CASE WHEN count(*) FILTER (WHERE year BETWEEN 1991 AND 2020) OVER () >= 10
                THEN 1991::smallint ELSE min(year) OVER () END AS base_start,
            CASE WHEN count(*) FILTER (WHERE year BETWEEN 1991 AND 2020) OVER () >= 10
                THEN 2020::smallint ELSE max(year) OVER () END AS base_end
        FROM mart_monthly_city_weather
        WHERE city_id = of_city AND is_complete
        GROUP BY year
        HAVING count(*) = 12
    ) AS complete_year
    WHERE year BETWEEN base_start AND base_end
    GROUP BY base_start, base_end
$$;

-- The weeks and months of all cities, with what a normal is made of.
CREATE VIEW city_period AS
SELECT city_id, city, 'week' AS period_type, iso_week AS period_number, iso_year AS year, period, start_date, end_date,
    is_complete, avg_temperature_c, precipitation_mm
FROM mart_weekly_city_weather
UNION ALL
SELECT city_id, city, 'month', month, year, period, start_date, end_date, is_complete, avg_temperature_c, precipitation_mm
FROM mart_monthly_city_weather;

-- The rows that climate_normal must have of a city: from the complete periods of the years of the base. Rain has no
-- normal if one of these periods has no rain value.
CREATE FUNCTION climate_normals(of_city text)
RETURNS TABLE (
    city_id text, period_type text, period_number smallint, base_start smallint, base_end smallint, years_used smallint,
    temperature_mean_c numeric, temperature_sd_c numeric, temperature_p10_c numeric, temperature_p50_c numeric,
    temperature_p90_c numeric, precipitation_mean_mm numeric, precipitation_sd_mm numeric, precipitation_p10_mm numeric,
    precipitation_p50_mm numeric, precipitation_p90_mm numeric
)
LANGUAGE sql STABLE AS $$
    SELECT
        of_city, period_type, period_number, base_start, base_end, years_used, temperature_mean_c, temperature_sd_c,
        percentile_of(temperatures, 0.1), percentile_of(temperatures, 0.5), percentile_of(temperatures, 0.9),
        CASE WHEN has_rain THEN precipitation_mean_mm END,
        CASE WHEN has_rain THEN precipitation_sd_mm END,
        CASE WHEN has_rain THEN percentile_of(precipitations, 0.1) END,
        CASE WHEN has_rain THEN percentile_of(precipitations, 0.5) END,
        CASE WHEN has_rain THEN percentile_of(precipitations, 0.9) END
    FROM (
        SELECT
            period_type, period_number, base_start, base_end, count(*)::smallint AS years_used,
            trim_scale(avg(avg_temperature_c)) AS temperature_mean_c,
            trim_scale(stddev_samp(avg_temperature_c)) AS temperature_sd_c,
            array_agg(avg_temperature_c ORDER BY avg_temperature_c) AS temperatures,
            trim_scale(avg(precipitation_mm)) AS precipitation_mean_mm,
            trim_scale(stddev_samp(precipitation_mm)) AS precipitation_sd_mm,
            array_agg(precipitation_mm ORDER BY precipitation_mm) AS precipitations,
            count(precipitation_mm) = count(*) AS has_rain
        FROM climate_base(of_city)
        JOIN city_period ON year BETWEEN base_start AND base_end
        WHERE city_period.city_id = of_city AND is_complete
        GROUP BY period_type, period_number, base_start, base_end
    ) AS base
$$;

-- The rows that climate_threshold must have of a city: from the days of the years of the base that have twelve complete
-- months, so that each season weighs the same.
CREATE FUNCTION climate_thresholds(of_city text)
RETURNS TABLE (
    city_id text, measure text, base_start smallint, base_end smallint, years_used smallint, days_used integer,
    value numeric
)
LANGUAGE sql STABLE AS $$
    WITH day AS (
        SELECT
            base_start, base_end, cardinality(complete_years)::smallint AS years_used, max_temperature_c,
            -- null as soon as one of the three has none
            CASE WHEN date - lag(date, 2) OVER days = 2
                THEN precipitation_mm + lag(precipitation_mm) OVER days + lag(precipitation_mm, 2) OVER days
            END AS rain_3_days_mm
        FROM climate_base(of_city)
        JOIN mart_daily_city_weather AS mart ON mart.city_id = of_city
            AND date BETWEEN make_date(base_start, 1, 1) AND make_date(base_end, 12, 31)
            AND extract(year FROM date)::smallint = ANY (complete_years)
        WINDOW days AS (ORDER BY date)
    )
    SELECT of_city, measure, base_start, base_end, years_used, cardinality(sorted), percentile_of(sorted, fraction)
    FROM (
        SELECT
            base_start, base_end, years_used,
            array_agg(max_temperature_c ORDER BY max_temperature_c) FILTER (WHERE max_temperature_c IS NOT NULL) AS hot,
            array_agg(rain_3_days_mm ORDER BY rain_3_days_mm) FILTER (WHERE rain_3_days_mm IS NOT NULL) AS wet
        FROM day
        GROUP BY base_start, base_end, years_used
    ) AS city
    CROSS JOIN LATERAL (
        VALUES ('max_temperature_p95_c', hot, 0.95), ('rain_3_days_p99_mm', wet, 0.99)
    ) AS threshold (measure, sorted, fraction)
    WHERE sorted IS NOT NULL
$$;

-- How far each week and month is from its normal. What needs a normal is null for a period that is not complete, and with
-- fewer than ten years; reason says why something is null. A percentile is the share of the years of the base that are
-- lower, equal ones counted half.
CREATE VIEW city_anomaly AS
SELECT
    period_type, city_id, city, period, start_date, end_date, is_complete, base_start, base_end, years_used,
    temperature_c,
    temperature_normal_c,
    temperature_anomaly_c,
    trim_scale(temperature_anomaly_c / nullif(temperature_sd_c, 0)) AS temperature_standardised,
    CASE WHEN temperature_anomaly_c IS NOT NULL THEN trim_scale(100 * temperatures_below / years_used) END
        AS temperature_percentile,
    precipitation_mm,
    precipitation_normal_mm,
    precipitation_anomaly_mm,
    CASE WHEN precipitation_anomaly_mm IS NOT NULL
        THEN trim_scale(100 * precipitation_mm / nullif(precipitation_normal_mm, 0)) END
        AS precipitation_percent_of_normal,
    trim_scale(precipitation_anomaly_mm / nullif(precipitation_sd_mm, 0)) AS precipitation_standardised,
    CASE WHEN precipitation_anomaly_mm IS NOT NULL THEN trim_scale(100 * precipitations_below / years_used) END
        AS precipitation_percentile,
    nullif(
        concat_ws(
            '; ',
            CASE WHEN NOT is_complete THEN 'the period is not complete' END,
            CASE
                WHEN years_used IS NULL THEN 'no normal'
                WHEN years_used < 10 THEN 'fewer than ten years'
                WHEN precipitation_normal_mm IS NULL THEN 'no normal of the precipitation'
            END,
            CASE WHEN precipitation_mm IS NULL THEN 'no precipitation' END,
            CASE WHEN temperature_anomaly_c IS NOT NULL AND temperature_sd_c = 0
                THEN 'the deviation of the temperature is zero' END,
            CASE WHEN precipitation_anomaly_mm IS NOT NULL AND precipitation_normal_mm = 0
                THEN 'the normal of the precipitation is zero' END,
            CASE WHEN precipitation_anomaly_mm IS NOT NULL AND precipitation_sd_mm = 0
                THEN 'the deviation of the precipitation is zero' END
        ),
        ''
    ) AS reason
FROM (
    SELECT
        *,
        avg_temperature_c AS temperature_c,
        CASE WHEN years_used >= 10 THEN temperature_mean_c END AS temperature_normal_c,
        CASE WHEN years_used >= 10 THEN precipitation_mean_mm END AS precipitation_normal_mm,
        CASE WHEN is_complete AND years_used >= 10 THEN avg_temperature_c - temperature_mean_c END
            AS temperature_anomaly_c,
        CASE WHEN is_complete AND years_used >= 10 THEN precipitation_mm - precipitation_mean_mm END
            AS precipitation_anomaly_mm,
        -- lower years, and half of the equal ones
        count(*) FILTER (WHERE is_in_base) OVER (alike ORDER BY avg_temperature_c)
            - 0.5 * count(*) FILTER (
                WHERE is_in_base
            ) OVER (PARTITION BY city_id, city, period_type, period_number, avg_temperature_c) AS temperatures_below,
        count(*) FILTER (WHERE is_in_base) OVER (alike ORDER BY precipitation_mm)
            - 0.5 * count(*) FILTER (
                WHERE is_in_base
            ) OVER (PARTITION BY city_id, city, period_type, period_number, precipitation_mm) AS precipitations_below
    FROM (
        SELECT *, is_complete AND year BETWEEN base_start AND base_end AS is_in_base
        FROM city_period
        LEFT JOIN climate_normal USING (city_id, period_type, period_number)
    ) AS compared
    -- each city_id has one city: named here too, so that a condition on either is applied before the windows
    WINDOW alike AS (PARTITION BY city_id, city, period_type, period_number)
) AS ranked;

CREATE VIEW mart_weekly_city_anomaly AS
SELECT city_id, city, period, start_date, end_date, is_complete, base_start, base_end, years_used, temperature_c,
    temperature_normal_c, temperature_anomaly_c, temperature_standardised, temperature_percentile, precipitation_mm,
    precipitation_normal_mm, precipitation_anomaly_mm, precipitation_percent_of_normal, precipitation_standardised,
    precipitation_percentile, reason
FROM city_anomaly
WHERE period_type = 'week';

CREATE VIEW mart_monthly_city_anomaly AS
SELECT city_id, city, period, start_date, end_date, is_complete, base_start, base_end, years_used, temperature_c,
    temperature_normal_c, temperature_anomaly_c, temperature_standardised, temperature_percentile, precipitation_mm,
    precipitation_normal_mm, precipitation_anomaly_mm, precipitation_percent_of_normal, precipitation_standardised,
    precipitation_percentile, reason
FROM city_anomaly
WHERE period_type = 'month';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ikirere_loader') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON climate_normal, climate_threshold TO ikirere_loader;
        GRANT SELECT ON city_period TO ikirere_loader;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'metabase_reader') THEN
        GRANT SELECT ON climate_normal, climate_threshold, mart_weekly_city_anomaly, mart_monthly_city_anomaly
            TO metabase_reader;
    END IF;
END
$$;

INSERT INTO climate_normal (city_id, period_type, period_number, base_start, base_end, years_used, temperature_mean_c,
    temperature_sd_c, temperature_p10_c, temperature_p50_c, temperature_p90_c, precipitation_mean_mm,
    precipitation_sd_mm, precipitation_p10_mm, precipitation_p50_mm, precipitation_p90_mm)
SELECT normal.*
FROM dim_city
CROSS JOIN LATERAL climate_normals(dim_city.city_id) AS normal;

INSERT INTO climate_threshold (city_id, measure, base_start, base_end, years_used, days_used, value)
SELECT threshold.*
FROM dim_city
CROSS JOIN LATERAL climate_thresholds(dim_city.city_id) AS threshold;
