"""The file of the alert rules: what is accepted, and how a defect is named."""

import pytest

from functions.core.alert_rules import alert_rules, parse_rules
from functions.core.errors import InvalidInputError

DRY = '[dry]\nkind = "dry_spell"\nthreshold = 1\ndays = 15\nmeaning = "m"\nsource = "s"\n'
HEAT = '[hot]\nkind = "heat"\npercentile = 95\nyears = 10\ndays = 3\nmeaning = "m"\nsource = "s"\n'
MISSING = '[lost]\nkind = "data_missing"\ndays = 2\nmeaning = "m"\nsource = "s"\n'


def test_the_shipped_rules_are_those_that_the_docs_name():
    rules = {rule.rule: rule for rule in alert_rules()}
    assert {name: (rule.kind, rule.days, rule.percentile, rule.threshold) for name, rule in rules.items()} == {
        "heat": ("heat", 3, 95, None),
        "heavy_rain": ("heavy_rain", 1, 99, None),
        "dry_spell": ("dry_spell", 15, None, 1),
        "data_missing": ("data_missing", 2, None, None),
    }
    assert {name: rule.unit for name, rule in rules.items()} == {
        "heat": "°C", "heavy_rain": "mm", "dry_spell": "days", "data_missing": "days"
    }  # fmt: skip
    assert parse_rules(HEAT + DRY + MISSING)[0].rule == "dry"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[dry\n", "no TOML: .*line 1"),
        ("dry = 1", "dry: must be a table"),
        (DRY.replace("[dry]", "['<b>']"), "must be a table, its name small letters"),
        (DRY.replace("dry_spell", "frost"), "dry: kind 'frost' must be one of heat, heavy_rain, "),
        (DRY.replace("threshold = 1\n", ""), "dry: threshold is missing"),
        (HEAT.replace("years = 10\n", ""), "hot: years is missing"),
        (DRY + "percent = 3\n", "dry: percent is not a key of this kind"),
        (HEAT + "threshold = 30\n", "hot: threshold is not a key beside percentile"),
        (MISSING + "threshold = 1\n", "lost: threshold is not a key of this kind"),
        (HEAT.replace("95", "90"), "hot: percentile 90 must be 95, which climate_threshold has"),
        (DRY.replace("threshold = 1", "percentile = 99\nyears = 10"), "dry: percentile is not a key of this kind"),
        (DRY.replace("15", "0"), "dry: days 0 must be a whole number from 1 to 366"),
        (DRY.replace("15", "true"), "dry: days True must be"),
        (DRY.replace("threshold = 1", "threshold = 'x'"), "dry: threshold 'x' must be a number"),
        (DRY.replace("threshold = 1", "threshold = nan"), "dry: threshold nan must be a number"),
        (DRY.replace('"m"', "5"), "dry: meaning must be a text of one line"),
        (DRY.replace('"m"', '"a\\u001bb"'), "dry: meaning must be a text of one line"),
    ],
)
def test_a_wrong_rule_is_named_with_its_key_and_reason(text, says):
    with pytest.raises(InvalidInputError, match=f"alert rules: .*{says.removeprefix('no TOML: ')}"):
        parse_rules(text)
