"""Each query against Metabase's own schema, with its official command line (AGPL: used in tests, not shipped)."""

import json
import os
import subprocess

import pytest

from dashboards.metabase.layout import DASHBOARDS, FILTERS
from dashboards.metabase.provision import _card
from dashboards.questions import load_question

CLI = ["npx", "-y", "@metabase/cli@0.3.1", "query", "--dry-run", "--json", "--file"]
CARDS = [card for dashboard in DASHBOARDS for card in dashboard.cards]

pytestmark = pytest.mark.skipif(
    "METABASE_CLI" not in os.environ, reason="needs npx and its registry: make test-metabase"
)


def checked(query, tmp_path):
    path = tmp_path / "query.json"
    path.write_text(json.dumps(query))
    return subprocess.run([*CLI, str(path)], capture_output=True, text=True, timeout=300, check=False)


def query(card):
    fields = {name: 100 + n for n, name in enumerate(FILTERS)}
    return _card(load_question(card.question), card, 1, 2, fields)["dataset_query"]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.question)
def test_metabase_accepts_a_query(card, tmp_path):
    done = checked(query(card), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_metabase_rejects_a_wrong_query(tmp_path):
    wrong = query(CARDS[0])
    wrong["stages"][0]["template-tags"]["city"]["type"] = "dimention"
    assert checked(wrong, tmp_path).returncode == 2
