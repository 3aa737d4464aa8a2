-- Autovacuum by a hundredth of the rows instead of a fifth: in a table of 44 million rows it would otherwise not run
-- before 8.8 million rows are dead or new (docs/decisions/0013-growth.md). No row is rewritten, no reader or load waits.
ALTER TABLE staging_weather SET (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_insert_scale_factor = 0.01,
    autovacuum_analyze_scale_factor = 0.01
);

ALTER TABLE mart_daily_city_weather SET (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_insert_scale_factor = 0.01,
    autovacuum_analyze_scale_factor = 0.01
);
