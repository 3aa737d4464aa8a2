-- The rules of the package into alert_rule. All days of all cities are evaluated with them.
CREATE TEMPORARY TABLE packaged_rule ON COMMIT DROP AS
SELECT *
FROM jsonb_to_recordset(%(rules)s) AS packaged (
    rule text, kind text, days smallint, threshold numeric, percentile smallint, years smallint, unit text, meaning text,
    source text
);

DELETE FROM alert_rule WHERE rule NOT IN (SELECT rule FROM packaged_rule);

MERGE INTO alert_rule AS old
USING packaged_rule AS new ON old.rule = new.rule
WHEN MATCHED AND
    (old.kind, old.days, old.threshold, old.percentile, old.years, old.unit, old.meaning, old.source)
    IS DISTINCT FROM
    (new.kind, new.days, new.threshold, new.percentile, new.years, new.unit, new.meaning, new.source)
THEN
    UPDATE SET kind = new.kind, days = new.days, threshold = new.threshold, percentile = new.percentile,
        years = new.years, unit = new.unit, meaning = new.meaning, source = new.source
WHEN NOT MATCHED THEN
    INSERT (rule, kind, days, threshold, percentile, years, unit, meaning, source)
    VALUES (new.rule, new.kind, new.days, new.threshold, new.percentile, new.years, new.unit, new.meaning, new.source);

CREATE TEMPORARY TABLE alert_days ON COMMIT DROP AS SELECT city_id, daterange(NULL, NULL) AS days FROM dim_city;
