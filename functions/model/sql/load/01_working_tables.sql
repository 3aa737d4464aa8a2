-- The transaction's own tables. They have no index: COPY would maintain it for each row.
SET LOCAL TIME ZONE 'UTC';
SET LOCAL jit = off;
-- Sorts and hashes of a million hours stay in memory.
SET LOCAL work_mem = '128MB';

-- One row for each city of the run: which response has its hours, and in which columns it has values.
CREATE TEMPORARY TABLE incoming_response (
    city_id     text,
    source      text,
    fetched_at  timestamptz,
    run_id      text COLLATE "C",
    raw_key     text,
    first_hour  timestamptz,
    last_hour   timestamptz,
    filled      smallint,
    gap_offsets integer[],
    gap_filled  smallint[],
    sha256      text
) ON COMMIT DROP;

-- Hours that may be in the warehouse already.
CREATE TEMPORARY TABLE incoming (
    city_id          text,
    observed_at      timestamptz,
    temperature_c    numeric,
    humidity         numeric,
    weather_code     smallint,
    condition        text,
    precipitation_mm numeric,
    wind_speed_kmh   numeric,
    uv_index         numeric
) ON COMMIT DROP;

-- The local days whose mart rows are to be recomputed.
CREATE TEMPORARY TABLE affected (city_id text, days daterange) ON COMMIT DROP;

-- What Transform found in the responses, and the grid cell of each location: in rows without a rule.
CREATE TEMPORARY TABLE incoming_quality (
    city_id    text,
    rule       text,
    date       date,
    count      integer,
    example    text,
    latitude   double precision,
    longitude  double precision,
    elevation  double precision,
    fetched_at timestamptz
) ON COMMIT DROP;

-- The findings of all rules in this load, one for each rule, city and day.
CREATE TEMPORARY TABLE finding (rule text, city_id text, date date, count integer, example text) ON COMMIT DROP;
