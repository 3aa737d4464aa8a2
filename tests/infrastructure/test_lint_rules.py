"""ruff's security rules are on, and each exception from one has its reason beside it."""

import re
import subprocess
import tomllib

from template_and_code import ROOT

LINT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]


def test_the_security_rules_are_chosen_and_off_in_tests_and_benchmarks_only():
    assert "S" in LINT["select"]
    off = {rule for rule in LINT["ignore"] if re.match(r"S\d", rule)}
    assert off == {"S603"}
    for files, rules in LINT["per-file-ignores"].items():
        if any(re.match(r"S\d", rule) for rule in rules):
            assert files.split("/")[0] in ("tests", "benchmarks"), files


def test_each_exception_from_a_security_rule_has_a_reason():
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    without = [
        f"{name}:{number}"
        for name in listed.stdout.split()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"# noqa: [A-Z0-9, ]*\bS\d+", line) and not re.search(r"# noqa: [A-Z0-9, ]+  # \w+", line)
    ]
    assert without == []
