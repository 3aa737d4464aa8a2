-- Who may do what: the owner (whoever runs this) migrates, ikirere_loader loads, metabase_reader reads
-- the marts. They are roles without a password: logins are made members of them, or given one, by who deploys.
-- Roles belong to the server, not the database, so another database or another session may have made them.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['ikirere_loader', 'metabase_reader'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role % cannot be made by %: create it and grant it what 002_roles.sql says', wanted, current_user;
        END;
    END LOOP;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ikirere_loader') THEN
        GRANT USAGE ON SCHEMA public TO ikirere_loader;
        GRANT SELECT, INSERT, UPDATE, DELETE
            ON dim_city, staging_weather, staging_coverage, mart_daily_city_weather, mart_city_weather_summary, pipeline_run
            TO ikirere_loader;
        GRANT SELECT ON schema_migration TO ikirere_loader;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'metabase_reader') THEN
        GRANT USAGE ON SCHEMA public TO metabase_reader;
        GRANT SELECT ON dim_city, mart_daily_city_weather, mart_city_weather_summary, pipeline_run TO metabase_reader;
    END IF;
END
$$;
