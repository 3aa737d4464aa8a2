-- Hours of the archive that differ much from the forecast they replace. The source of an hour is that of its temperature.
INSERT INTO finding (rule, city_id, date, count, example)
SELECT 'archive_difference', city_id, date, count(*), (array_agg(example ORDER BY observed_at))[1]
FROM (
    SELECT
        city_id, observed_at, (observed_at AT TIME ZONE timezone)::date AS date,
        to_char(observed_at, 'YYYY-MM-DD"T"HH24:MI"Z"')
            || CASE WHEN abs(temperature_c - old_temperature_c) > %(temperature_c)s
                THEN format(', temperature_c %%s was %%s', temperature_c, old_temperature_c) ELSE '' END
            || CASE WHEN abs(humidity - old_humidity) > %(humidity)s
                THEN format(', humidity %%s was %%s', humidity, old_humidity) ELSE '' END
            || CASE WHEN abs(wind_speed_kmh - old_wind_speed_kmh) > %(wind_speed_kmh)s
                THEN format(', wind_speed_kmh %%s was %%s', wind_speed_kmh, old_wind_speed_kmh) ELSE '' END AS example
    FROM changed_hour
    JOIN dim_city USING (city_id)
    WHERE source = 'archive' AND old_source = 'forecast'
        AND (
            abs(temperature_c - old_temperature_c) > %(temperature_c)s
            OR abs(humidity - old_humidity) > %(humidity)s
            OR abs(wind_speed_kmh - old_wind_speed_kmh) > %(wind_speed_kmh)s
        )
) AS difference
GROUP BY city_id, date;
