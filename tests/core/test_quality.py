"""The quality rules as data, and their table in the docs."""

import re
from pathlib import Path

import pytest

from functions.core.quality import (
    ERROR_SHARE,
    FROZEN_VARIABLES,
    LARGEST_DIFFERENCES,
    LARGEST_STEPS,
    RULES,
    is_partial,
    names_of,
)
from functions.core.variables import VARIABLES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "quality.md").read_text(encoding="utf-8")


def test_the_page_has_each_rule_with_its_severity_stage_meaning_and_source():
    rows = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in PAGE.splitlines()]
    expected = [(f"`{r.name}`", r.severity, r.stage, r.meaning, r.source) for r in RULES.values()]
    assert [row for row in rows if re.fullmatch(r"`\w+`", row[0])] == expected


@pytest.mark.parametrize("page", ["quality.md", "glossary.md", "guarantees.md", "runbook.md"])
def test_the_pages_name_the_share_of_hours_that_makes_a_run_partial(page):
    assert f"more than {100 * ERROR_SHARE:g} %" in (DOCS / page).read_text(encoding="utf-8")


def test_a_run_is_partial_beyond_the_share_and_never_without_hours_or_errors():
    assert [is_partial(errors, 1000) for errors in (0, 50, 51, 1000)] == [False, False, True, True]
    assert not is_partial(0, 0)


def test_only_a_rule_that_judges_a_response_by_itself_can_make_a_run_partial():
    errors = {rule.name for rule in RULES.values() if rule.severity == "error"}
    assert errors == {"impossible_value", "frozen_series", "stale"}
    assert errors <= set(names_of("transform"))


def test_thresholds_are_of_known_variables_and_columns():
    assert {*LARGEST_STEPS, *FROZEN_VARIABLES} <= VARIABLES.keys()
    assert LARGEST_DIFFERENCES.keys() <= {variable.column for variable in VARIABLES.values()}
