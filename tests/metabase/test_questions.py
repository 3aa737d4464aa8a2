"""The questions of dashboards and report, on a real Postgres."""

import re
from contextlib import closing

import psycopg2
import pytest

from functions.model.migrations import migrate
from metabase.dashboards import DASHBOARDS
from metabase.questions import load_question, question_names


@pytest.fixture(scope="module")
def reader(postgres):
    """A connection that may do what Metabase's role may."""
    with closing(psycopg2.connect(postgres.url())) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE questions")
    url = postgres.url(database="questions")
    migrate({"dsn": url})
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("SET ROLE metabase_reader")
        yield connection


@pytest.mark.parametrize("name", question_names())
def test_a_question_runs_with_its_filters_off_and_on_for_the_role_that_reads(reader, name):
    question = load_question(name)
    with reader.cursor() as cursor:
        cursor.execute(question.unfiltered_sql)
        # Metabase puts a condition on the physical column in the place of a field filter
        filtered = question.sql.replace("[[", "").replace("]]", "")
        for tag, condition in (("city", "= 'Kigali'"), ("date", "BETWEEN '2026-01-01' AND '2026-02-01'")):
            column = f'"public"."mart_daily_city_weather"."{tag}"'
            filtered = filtered.replace(f"{{{{{tag}}}}}", f"{column} {condition}")
        assert "{{" not in filtered
        cursor.execute(filtered)


CARDS = [card for dashboard in DASHBOARDS for card in dashboard.cards]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.question)
def test_the_columns_that_a_card_draws_are_those_of_its_sql(reader, card):
    with reader.cursor() as cursor:
        cursor.execute(load_question(card.question).unfiltered_sql)
        columns = {column.name for column in cursor.description}
    named = [name for key in ("graph.dimensions", "graph.metrics") for name in card.settings.get(key, ())]
    named += [card.settings[key] for key in ("map.latitude_column", "map.longitude_column") if key in card.settings]
    named += [name for rule in card.settings.get("table.column_formatting", ()) for name in rule["columns"]]
    assert set(named) <= columns


def test_every_question_is_on_a_dashboard():
    assert sorted(card.question for card in CARDS) == question_names()


@pytest.mark.parametrize("name", question_names())
def test_a_question_says_what_it_is(name):
    question = load_question(name)
    assert question.title
    assert question.description.endswith(".")
    assert not re.search(r"\[\[|\{\{", question.unfiltered_sql)
