"""What must never be in the repository."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECRETS = {
    "an AWS access key": r"\b(AKIA|ASIA)[A-Z0-9]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    "an address with a password": r"postgres(ql)?://\w+:(?!\$|s3|p%|\{)[A-Za-z0-9_-]{16,}@",
    "a registry's host": r"--(extra-)?index-url|files\.pythonhosted",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_and_no_registry_is_in_the_files(kind):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path != Path(__file__) and path.is_file():
            text = path.read_bytes().decode("utf-8", errors="replace")
            assert not re.search(SECRETS[kind], text), f"{name} holds {kind}"
