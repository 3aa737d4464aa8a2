"""GitHub Actions: each action is one commit, each job has the least permissions, no input reaches a shell as text."""

import re

import pytest
import yaml
from template_and_code import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# A commit, and the release that it is, for people.
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*")
# What a job of each workflow may do; nothing else.
PERMISSIONS = {
    "ci.yml": {"contents": "read"},
    "deploy.yml": {"contents": "read", "id-token": "write"},
}
# Text that somebody outside the repository chooses.
_CHOSEN_OUTSIDE = re.compile(r"\$\{\{\s*(github\.(event|head_ref|ref_name|actor)|inputs|steps|env)\b")


def steps(path):
    for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
        yield from job["steps"]


def test_every_workflow_is_listed_here():
    assert {path.name for path in WORKFLOWS} == set(PERMISSIONS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_a_commit_with_its_release_beside_it(path):
    used = re.findall(r"uses:\s*(.+)", path.read_text(encoding="utf-8"))
    assert used
    assert [each for each in used if not _PINNED.fullmatch(each)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_has_the_permissions_that_it_needs_and_no_other(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    for job in workflow["jobs"].values():
        assert job.get("permissions", workflow["permissions"]) == PERMISSIONS[path.name]
        assert job["timeout-minutes"] <= 30
    # a job that is added later has no more than to read
    assert workflow["permissions"] in ({}, {"contents": "read"})
    # "on" is true in YAML 1.1; this event would run a stranger's code with the repository's rights
    assert "pull_request_target" not in workflow[True]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_checkout_leaves_no_token_and_a_shell_gets_no_text_from_outside(path):
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert not _CHOSEN_OUTSIDE.search(step.get("run", ""))
