"""make audit: its exit code tells a vulnerability from a service that could not be asked."""

import json
import subprocess
import sys

import pytest
from template_and_code import ROOT

SOUND = {"name": "a", "version": "1", "vulns": []}
VULNERABLE = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (3)"}


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        ([SOUND], 0, "1 packages audited, 0 with a known vulnerability"),
        ([SOUND, VULNERABLE], 1, "b 2: PYSEC-1, fixed in 3"),
        ([SOUND, UNKNOWN], 2, "1 could not be audited (c: Dependency not found"),
        ([VULNERABLE, UNKNOWN], 1, "b 2: PYSEC-1, fixed in 3"),
        (None, 2, "could not be audited"),
    ],
)
def test_the_exit_code_tells_vulnerable_from_unknown(tmp_path, output, code, said):
    program = tmp_path / "pip-audit"
    text = "" if output is None else json.dumps({"dependencies": output})
    program.write_text(f"#!{sys.executable}\nimport sys\nprint({text!r})\nprint('ConnectionError', file=sys.stderr)\n")
    program.chmod(0o755)
    command = [sys.executable, ROOT / ".ci" / "audit.py", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_every_lock_file_is_audited():
    listed = ["git", "ls-files", "*requirements*.txt"]
    text = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    product = {name for name in text.split() if not name.startswith("tests/")}
    sys.path.insert(0, str(ROOT / ".ci"))
    try:
        import audit
    finally:
        sys.path.pop(0)
    assert {str(path.relative_to(ROOT)) for path in audit.locks()} == product


def test_a_program_that_is_missing_is_no_traceback(tmp_path):
    command = [sys.executable, ROOT / ".ci" / "audit.py", tmp_path / "none", ROOT / "requirements.txt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such file" in done.stderr
