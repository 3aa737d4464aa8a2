-- Loads of millions of hours: no trigger for each row, one coverage row for each response and city, and a summary
-- that is updated from the changed days alone.

-- A foreign key costs a trigger call for each row, 60 % of a first load. The load checks the cities as a set.
ALTER TABLE staging_weather DROP CONSTRAINT staging_weather_city_id_fkey;
ALTER TABLE mart_daily_city_weather DROP CONSTRAINT mart_daily_city_weather_city_id_fkey;

-- What all hours of a response have in common is set once for each COPY and not sent with each row. The function reads
-- a setting and is declared immutable all the same: so COPY evaluates it once, when it starts, and not for each row.
-- Nothing else may use it.
CREATE FUNCTION response_setting(name text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT current_setting('ikirere.' || name) $$;

ALTER TABLE staging_weather
    ALTER source SET DEFAULT response_setting('source'),
    ALTER fetched_at SET DEFAULT to_timestamp(response_setting('fetched_at')::double precision),
    ALTER run_id SET DEFAULT response_setting('run_id'),
    ALTER raw_key SET DEFAULT response_setting('raw_key');

-- An hour that differs from the row's `filled` is a gap: its offset in hours from first_hour, and its own bits, or -1
-- for an hour that the response does not have. Rows of earlier versions have no gaps: they are one stretch each.
ALTER TABLE staging_coverage
    ADD gap_offsets integer[] NOT NULL DEFAULT '{}',
    ADD gap_filled smallint[] NOT NULL DEFAULT '{}',
    -- Of the processed rows of the city: equal hashes, equal hours and values. Null where it is not known.
    ADD sha256 text;

-- The hours of a coverage row between two hours, with the columns that have a value.
CREATE FUNCTION coverage_hours(coverage staging_coverage, first timestamptz, last timestamptz)
RETURNS TABLE (observed_at timestamptz, filled smallint)
LANGUAGE sql STABLE AS $$
    SELECT coverage.first_hour + n * interval '1 hour', coalesce(gap.filled, coverage.filled)
    FROM generate_series(
        greatest(extract(epoch FROM first - coverage.first_hour) / 3600, 0)::integer,
        (extract(epoch FROM least(last, coverage.last_hour) - coverage.first_hour) / 3600)::integer
    ) AS n
    LEFT JOIN unnest(coverage.gap_offsets, coverage.gap_filled) AS gap (n, filled) USING (n)
    WHERE coalesce(gap.filled, coverage.filled) >= 0
$$;

-- Whether a response has, in every hour of another one, all the columns that the other one has.
CREATE FUNCTION coverage_contains(outer_one staging_coverage, inner_one staging_coverage)
RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT inner_one.first_hour >= outer_one.first_hour
        AND inner_one.last_hour <= outer_one.last_hour
        AND inner_one.filled & ~outer_one.filled = 0
        AND NOT EXISTS (
            SELECT
            FROM (
                SELECT n, filled
                FROM unnest(outer_one.gap_offsets, outer_one.gap_filled) AS gap (n, filled)
                WHERE outer_one.first_hour + n * interval '1 hour' BETWEEN inner_one.first_hour AND inner_one.last_hour
            ) AS outer_gap
            FULL JOIN (
                SELECT n + (extract(epoch FROM inner_one.first_hour - outer_one.first_hour) / 3600)::integer AS n, filled
                FROM unnest(inner_one.gap_offsets, inner_one.gap_filled) AS gap (n, filled)
            ) AS inner_gap USING (n)
            CROSS JOIN LATERAL (
                SELECT coalesce(outer_gap.filled, outer_one.filled) AS outer_filled,
                    coalesce(inner_gap.filled, inner_one.filled) AS inner_filled
            ) AS bits
            WHERE inner_filled >= 0 AND (outer_filled < 0 OR inner_filled & ~outer_filled <> 0)
        )
$$;

-- With these sums a changed day changes the average without a look at the other days.
ALTER TABLE mart_city_weather_summary
    ADD sum_humidity numeric,
    ADD hours_humidity bigint;

-- The city list that dim_city was last made from: an unchanged list of 30,000 cities is not compared row by row.
CREATE TABLE city_list (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    sha256   text NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ikirere_loader') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON city_list TO ikirere_loader;
    END IF;
END
$$;
