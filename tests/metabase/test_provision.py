"""The provisioning against a model of Metabase's API; against a real server where METABASE_URL is set."""

import copy
import dataclasses
import os

import pytest
from contract_server import ContractServer

from dashboards.metabase import provision as provisioning
from dashboards.metabase.client import MetabaseError
from dashboards.metabase.layout import DASHBOARDS, FILTERS, Card, Dashboard
from dashboards.metabase.provision import Settings, provision
from dashboards.questions import load_question
from functions.core import dictionary

WAREHOUSE = "postgresql://metabase_reader:p%40ss@warehouse:5432/ikirere"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.fixture
def server():
    with ContractServer() as running:
        yield running


@pytest.fixture
def settings(server):
    return Settings(server.url, "admin@example.org", "s3cret-enough", WAREHOUSE)


def named(server, model):
    return {each["name"]: each for each in server.things[model].values() if not each["archived"]}


def test_a_new_server_gets_everything(server, settings):
    provision(settings)
    (database,) = server.things["database"].values()
    where = {"host": "warehouse", "port": 5432, "dbname": "ikirere", "ssl": False}
    assert database["details"] == where | {"user": "metabase_reader", "password": "p@ss"}
    assert set(named(server, "dashboard")) == {"City weather", "Climate and health", "Pipeline health"}
    titles = {load_question(card.question).title for dashboard in DASHBOARDS for card in dashboard.cards}
    assert set(named(server, "card")) == titles
    for dashboard in DASHBOARDS:
        made = named(server, "dashboard")[dashboard.name]
        assert len(made["dashcards"]) == len(dashboard.cards)
        assert [parameter["id"] for parameter in made["parameters"]] == [each["id"] for each in dashboard.filters]


def test_a_filter_reaches_every_card_whose_sql_has_it(server, settings):
    provision(settings)
    fields = {(table["name"], field["name"]): field["id"] for table in server.tables for field in table["fields"]}
    for dashboard in DASHBOARDS:
        made = named(server, "dashboard")[dashboard.name]
        parameters = {parameter["id"] for parameter in made["parameters"]}
        for dashcard in made["dashcards"]:
            (stage,) = server.things["card"][dashcard["card_id"]]["dataset_query"]["stages"]
            tags = stage["template-tags"]
            targets = {each["target"][1][1]: each["parameter_id"] for each in dashcard["parameter_mappings"]}
            assert targets == {tag: FILTERS[tag].parameter["id"] for tag in tags}
            assert targets
            assert set(targets.values()) <= parameters
            for tag, details in tags.items():
                kind = "string/=" if tag.endswith("city") else "date/all-options"
                column = fields[FILTERS[tag].table, FILTERS[tag].column]
                assert (details["dimension"][2], details["widget-type"]) == (column, kind)


def test_the_second_run_writes_nothing(server, settings):
    assert provision(settings)
    assert provision(settings) == []


def test_tables_and_columns_have_the_descriptions_of_the_data_dictionary(server, settings):
    provision(settings)
    daily, runs, other, *_ = server.tables
    known = dictionary.tables()
    assert (daily["description"], runs["description"]) == (
        known["mart_daily_city_weather"].description,
        known["pipeline_run"].description,
    )
    columns = known["mart_daily_city_weather"].columns
    assert [field["description"] for field in daily["fields"]] == [
        columns["city_id"].comment, columns["city"].comment, columns["date"].comment, None
    ]  # fmt: skip
    assert [other["description"], other["fields"][0]["description"]] == [None, None]
    daily["fields"][1]["description"] = "changed"
    assert provision(settings) == ["PUT /api/field/901"]


def test_only_a_changed_question_is_updated(server, settings):
    provision(settings)

    def changed(name):
        question = load_question(name)
        return dataclasses.replace(question, sql=question.sql + "LIMIT 10\n") if name == "rain" else question

    (number,) = [each["id"] for each in server.things["card"].values() if each["name"] == "Rain"]
    assert provision(settings, load=changed) == [f"PUT /api/card/{number}"]
    assert server.things["card"][number]["dataset_query"]["stages"][0]["native"].endswith("LIMIT 10")


def test_changes_made_in_metabase_are_reverted(server, settings):
    provision(settings)
    named(server, "card")["Rain"]["display"] = "pie"
    named(server, "dashboard")["City weather"]["dashcards"][0]["row"] = 99
    assert len(provision(settings)) == 2
    assert named(server, "card")["Rain"]["display"] == "bar"
    assert named(server, "dashboard")["City weather"]["dashcards"][0]["row"] == 0


def test_a_removed_question_is_archived(server, settings):
    provision(settings)
    weather, climate, health = DASHBOARDS
    fewer = dataclasses.replace(weather, cards=[card for card in weather.cards if card.question != "wind"])
    provision(settings, (fewer, climate, health))
    assert "Wind" not in named(server, "card")
    assert len(named(server, "dashboard")["City weather"]["dashcards"]) == len(weather.cards) - 1
    assert provision(settings, (fewer, climate, health)) == []
    provision(settings, (fewer,))
    assert set(named(server, "dashboard")) == {"City weather"}


def test_items_of_other_users_are_not_touched(server, settings):
    provision(settings)
    (collection,) = server.things["collection"]
    theirs = {
        "name": "Mine", "description": "by hand", "display": "table", "collection_id": collection,
        "dataset_query": {"stages": []}, "archived": False, "id": 5000,
    }  # fmt: skip
    server.things["card"][5000] = dict(theirs)
    server.things["dashboard"][6000] = {
        "name": "Ours too", "description": None, "collection_id": collection, "archived": False, "id": 6000,
        "dashcards": [], "parameters": [],
    }  # fmt: skip
    dashboard = named(server, "dashboard")["City weather"]
    dashboard["dashcards"].append({"id": 7000, "card_id": 5000, "row": 60, "col": 0, "size_x": 4, "size_y": 4})
    assert provision(settings) == []
    weather, _, health = DASHBOARDS
    provision(settings, (dataclasses.replace(weather, cards=weather.cards[1:]), health))
    assert server.things["card"][5000] == theirs
    assert not server.things["dashboard"][6000]["archived"]
    assert 7000 in [dashcard["id"] for dashcard in named(server, "dashboard")["City weather"]["dashcards"]]


def test_a_password_that_changed_is_sent_once(server, settings):
    provision(settings)
    server.warehouse_password = "rotated"
    changed = dataclasses.replace(settings, warehouse=WAREHOUSE.replace("p%40ss", "rotated"))
    (database,) = server.things["database"]
    assert provision(changed) == [f"PUT /api/database/{database}"]
    assert server.things["database"][database]["details"]["password"] == "rotated"
    assert provision(changed) == []


@pytest.mark.parametrize(("mode", "ssl"), [("require", True), ("verify-full", True), ("disable", False)])
def test_an_address_with_sslmode_sets_ssl(server, settings, mode, ssl):
    provision(settings)
    provision(dataclasses.replace(settings, warehouse=f"{WAREHOUSE}?sslmode={mode}"))
    (database,) = server.things["database"].values()
    assert (database["details"]["ssl"], database["details"]["password"]) == (ssl, "p@ss")


def test_another_users_database_of_the_same_name_is_not_touched(server, settings):
    theirs = {"name": "Ikirere warehouse", "engine": "postgres", "details": {"host": "theirs", "user": "them"}}
    server.things["database"][77] = theirs | {"id": 77, "archived": False}
    theirs["details"]["password"] = "theirs"
    provision(settings)
    assert server.things["database"][77]["details"]["host"] == "theirs"
    assert len(server.things["database"]) == 2


def test_a_users_copy_of_a_question_is_not_touched_although_it_has_our_mark(server, settings):
    provision(settings)
    wind = named(server, "card")["Wind"]
    server.things["card"][9001] = copy.deepcopy(wind) | {"id": 9001, "name": "My wind", "display": "bar"}
    dashboard = named(server, "dashboard")["City weather"]
    dashboard["dashcards"].append({"id": 7000, "card_id": 9001, "row": 60, "col": 0, "size_x": 4, "size_y": 4})
    assert provision(settings) == []
    weather, climate, health = DASHBOARDS
    fewer = dataclasses.replace(weather, cards=[card for card in weather.cards if card.question != "wind"])
    provision(settings, (fewer, climate, health))
    assert set(named(server, "card")) & {"Wind", "My wind"} == {"My wind"}
    assert 9001 in [each["card_id"] for each in named(server, "dashboard")["City weather"]["dashcards"]]


def test_a_users_tabs_remain_and_our_cards_are_on_the_first(server, settings):
    provision(settings)
    dashboard = named(server, "dashboard")["City weather"]
    dashboard["tabs"] = [{"id": 1, "name": "All"}, {"id": 2, "name": "Mine"}]
    for dashcard in dashboard["dashcards"]:
        dashcard["dashboard_tab_id"] = 1
    assert provision(settings) == []
    dashboard["dashcards"][0]["dashboard_tab_id"] = 2
    assert provision(settings) == [f"PUT /api/dashboard/{dashboard['id']}"]
    assert [tab["name"] for tab in named(server, "dashboard")["City weather"]["tabs"]] == ["All", "Mine"]
    assert {each["dashboard_tab_id"] for each in named(server, "dashboard")["City weather"]["dashcards"]} == {1}


def test_a_server_that_was_set_up_by_hand_is_not_set_up_again(server, settings):
    server.user = {"email": settings.email, "password": settings.password}
    assert not [write for write in provision(settings) if "setup" in write]


def test_a_wrong_password_is_reported(server, settings):
    provision(settings)
    with pytest.raises(MetabaseError, match=r"401.*did not match stored password"):
        provision(dataclasses.replace(settings, password="other"))


def test_an_unreachable_server_is_reported(settings, monkeypatch):
    monkeypatch.setattr(provisioning, "_WAIT_SECONDS", 0)
    with pytest.raises(MetabaseError, match=r"does not respond .*is METABASE_URL right\?"):
        provision(dataclasses.replace(settings, url="http://127.0.0.1:9"))


def test_missing_settings_are_named():
    with pytest.raises(MetabaseError, match="METABASE_EMAIL, METABASE_WAREHOUSE_URL not set"):
        Settings.from_environment({"METABASE_URL": "http://x", "METABASE_PASSWORD": "x"})


def test_cards_fit_the_grid_and_do_not_overlap():
    for dashboard in DASHBOARDS:
        taken = set()
        for card in dashboard.cards:
            cells = {
                (row, col)
                for row in range(card.row, card.row + card.height)
                for col in range(card.col, card.col + card.width)
            }
            assert card.col + card.width <= 24
            assert not cells & taken, card.question
            taken |= cells


def test_no_question_is_on_the_dashboards_twice():
    names = [card.question for dashboard in DASHBOARDS for card in dashboard.cards]
    assert len(names) == len(set(names))


@pytest.mark.skipif("METABASE_URL" not in os.environ, reason="no Metabase: set METABASE_URL and its companions")
def test_live():
    settings = Settings.from_environment()
    provision(settings)
    assert provision(settings) == []


def test_a_dashboard_without_filters_maps_none(server, settings):
    provision(settings, (Dashboard("Plain", "No filter.", (Card("rain", "bar", 0, 0, 12, 6),)),))
    (dashcard,) = named(server, "dashboard")["Plain"]["dashcards"]
    assert dashcard["parameter_mappings"] == []
