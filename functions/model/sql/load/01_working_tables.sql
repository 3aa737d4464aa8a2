-- The temporary tables of the load. The lock allows one load at a time, so that no other load writes between
-- this load's reads and writes. It ends with the transaction.
SET LOCAL TIME ZONE 'UTC';
SET LOCAL jit = off;
SELECT pg_advisory_xact_lock(hashtext('ikirere load'));

CREATE TEMPORARY TABLE incoming (
    city_id          text,
    observed_at      timestamptz,
    temperature_c    numeric,
    humidity         numeric,
    weather_code     smallint,
    condition        text,
    precipitation_mm numeric,
    wind_speed_kmh   numeric,
    uv_index         numeric,
    source           text,
    fetched_at       timestamptz,
    run_id           text COLLATE "C",
    raw_key          text,
    city             text,
    country          text,
    timezone         text,
    population       bigint,
    area_km2         numeric,
    filled           smallint GENERATED ALWAYS AS (
        (temperature_c IS NOT NULL)::int + 2 * (humidity IS NOT NULL)::int + 4 * (weather_code IS NOT NULL)::int
        + 8 * (precipitation_mm IS NOT NULL)::int + 16 * (wind_speed_kmh IS NOT NULL)::int
        + 32 * (uv_index IS NOT NULL)::int
    ) STORED,
    PRIMARY KEY (city_id, observed_at)
) ON COMMIT DROP;

CREATE TEMPORARY TABLE listed_city (LIKE dim_city) ON COMMIT DROP;

-- The city-days whose mart rows are recomputed.
CREATE TEMPORARY TABLE affected_city_day (
    city_id text,
    date    date,
    PRIMARY KEY (city_id, date)
) ON COMMIT DROP;
