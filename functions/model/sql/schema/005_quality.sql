-- What the quality rules find, and what it is compared with (docs/decisions/0017-data-quality.md).

-- A finding of a rule: ``count`` hours of a city on one of its local days. A finding that the newest one of the same
-- rule, city and day equals is not written again: the row names the first run that found it.
CREATE TABLE quality_result (
    run_id   text COLLATE "C" NOT NULL,
    rule     text NOT NULL,
    city_id  text NOT NULL,
    date     date NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
    count    integer NOT NULL,
    -- the first of the hours, in words
    example  text NOT NULL,
    -- the newest fetch of the run
    found_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, rule, city_id, date)
);
CREATE INDEX quality_result_day ON quality_result (city_id, date, rule);

-- The grid cell that a source last gave a city, in degrees and metres, and since which response.
CREATE TABLE city_grid_cell (
    city_id    text NOT NULL,
    source     text NOT NULL,
    latitude   double precision,
    longitude  double precision,
    elevation  double precision,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (city_id, source)
);

-- The number of city-days with a finding, by rule: also of those that an earlier run has found. Empty for runs of
-- earlier versions, which were not judged.
ALTER TABLE pipeline_run ADD findings jsonb NOT NULL DEFAULT '{}';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ikirere_loader') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON quality_result, city_grid_cell TO ikirere_loader;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'metabase_reader') THEN
        GRANT SELECT ON quality_result TO metabase_reader;
    END IF;
END
$$;
