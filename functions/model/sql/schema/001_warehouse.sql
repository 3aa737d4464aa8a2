-- The warehouse. Measures are numeric, so that sums and averages are exact and do not depend on the
-- order of the rows.

CREATE TABLE dim_city (
    city_id    text PRIMARY KEY,
    city       text NOT NULL,
    country    text NOT NULL,
    latitude   double precision NOT NULL,
    longitude  double precision NOT NULL,
    timezone   text NOT NULL,
    population bigint,
    area_km2   numeric,
    -- false once a city has left the list: its history stays
    active     boolean NOT NULL DEFAULT true
);

CREATE TABLE staging_weather (
    city_id          text NOT NULL REFERENCES dim_city,
    observed_at      timestamptz NOT NULL,
    temperature_c    numeric,
    humidity         numeric,
    weather_code     smallint,
    condition        text,
    precipitation_mm numeric,
    wind_speed_kmh   numeric,
    uv_index         numeric,
    source           text NOT NULL CHECK (source IN ('forecast', 'archive')),
    fetched_at       timestamptz NOT NULL,
    run_id           text COLLATE "C" NOT NULL,
    raw_key          text NOT NULL,
    PRIMARY KEY (city_id, observed_at)
);

-- Which answer covered which hours of a city, and in which columns it had a value: the precedence of
-- every value, kept as one row for each stretch of hours with the same columns filled. It is what
-- lets an answer that repeats the known values leave staging_weather unwritten and still count
-- against an older answer that arrives later.
CREATE TABLE staging_coverage (
    city_id    text NOT NULL REFERENCES dim_city,
    source     text NOT NULL,
    fetched_at timestamptz NOT NULL,
    run_id     text COLLATE "C" NOT NULL,
    first_hour timestamptz NOT NULL,
    last_hour  timestamptz NOT NULL,
    -- the sum of 1 temperature, 2 humidity, 4 code, 8 precipitation, 16 wind, 32 UV that have a value
    filled     smallint NOT NULL,
    PRIMARY KEY (city_id, source, fetched_at, run_id, first_hour)
);
CREATE INDEX staging_coverage_last_hour ON staging_coverage (city_id, last_hour);

CREATE TABLE mart_daily_city_weather (
    city_id            text NOT NULL REFERENCES dim_city,
    city               text NOT NULL,
    date               date NOT NULL,
    avg_temperature_c  numeric,
    min_temperature_c  numeric,
    max_temperature_c  numeric,
    avg_humidity       numeric,
    precipitation_mm   numeric,
    max_wind_speed_kmh numeric,
    max_uv_index       numeric,
    dominant_condition text,
    hours_observed     smallint NOT NULL,
    hours_expected     smallint NOT NULL,
    hours_forecast     smallint NOT NULL,
    -- hours with a humidity: the weight of avg_humidity in the summary
    hours_humidity     smallint NOT NULL,
    population         bigint,
    area_km2           numeric,
    updated_at         timestamptz NOT NULL DEFAULT now(),
    run_id             text COLLATE "C" NOT NULL,
    PRIMARY KEY (city_id, date)
);
CREATE INDEX mart_daily_city_weather_date ON mart_daily_city_weather (date);

CREATE TABLE mart_city_weather_summary (
    city_id                  text PRIMARY KEY REFERENCES dim_city,
    city                     text NOT NULL,
    total_days_recorded      integer NOT NULL,
    highest_temperature_c    numeric,
    highest_temperature_date date,
    lowest_temperature_c     numeric,
    lowest_temperature_date  date,
    average_humidity         numeric,
    first_day                date,
    last_day                 date
);

CREATE TABLE pipeline_run (
    run_id            text COLLATE "C" PRIMARY KEY,
    -- succeeded, partial (some cities were refused) or failed
    status            text NOT NULL CHECK (status IN ('succeeded', 'partial', 'failed')),
    source            text,
    window_start      date,
    window_end        date,
    cities            integer NOT NULL DEFAULT 0,
    rows_in           bigint NOT NULL DEFAULT 0,
    rows_loaded       bigint NOT NULL DEFAULT 0,
    rows_unchanged    bigint NOT NULL DEFAULT 0,
    rows_rejected     bigint NOT NULL DEFAULT 0,
    requests          integer NOT NULL DEFAULT 0,
    quota_weight      numeric NOT NULL DEFAULT 0,
    ingest_seconds    numeric,
    transform_seconds numeric,
    model_seconds     numeric,
    started_at        timestamptz NOT NULL,
    finished_at       timestamptz NOT NULL,
    -- [{"raw_key", "processed_key", "rejected_key", "sha256", "rows_in", "rows", "rejected"}]
    objects           jsonb NOT NULL DEFAULT '[]',
    -- [{"city_id", "reason", "raw_key"}]
    failed_cities     jsonb NOT NULL DEFAULT '[]',
    -- the resolved event, or the event as given when it could not be resolved
    event             jsonb NOT NULL DEFAULT '{}',
    execution_arn     text,
    -- class and cause of a failed run
    error             text,
    cause             text
);
CREATE INDEX pipeline_run_started_at ON pipeline_run (started_at);
