"""What must never be in the repository or its history: a secret, by a scanner; a registry's host."""

import json
import subprocess
from pathlib import Path

import pytest
from detect_secrets import SecretsCollection
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).parents[2]
# What was looked at and is no secret: `detect-secrets scan --baseline .secrets.baseline`, then `audit` it.
BASELINE = json.loads((ROOT / ".secrets.baseline").read_text(encoding="utf-8"))
# Hashes by the thousand, and a picture.
LEFT_OUT = ("requirements.txt", "requirements-dev.txt", ".secrets.baseline", ".png")


def git(*arguments):
    asked = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    if asked.returncode != 0:
        pytest.skip("not a git checkout")
    return asked.stdout


def found(folder):
    """Kind and hash of each secret in the files below a folder, with the file that holds it."""
    settings = {key: BASELINE[key] for key in ("plugins_used", "filters_used")}
    with transient_settings(settings):
        secrets = SecretsCollection()
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            secrets.scan_file(str(path))
    return {(secret.type, secret.secret_hash): name for name, secret in secrets}


def known():
    return {(each["type"], each["hashed_secret"]) for secrets in BASELINE["results"].values() for each in secrets}


def versions():
    """Every version that every file ever had, and the files as they are: a folder for each, name and content."""
    for line in git("rev-list", "--all", "--objects").decode().splitlines():
        sha, _, name = line.partition(" ")
        if name and git("cat-file", "-t", sha) == b"blob\n":
            yield sha, name, git("cat-file", "-p", sha)
    for name in git("ls-files", "--cached", "--others", "--exclude-standard").decode().splitlines():
        if (ROOT / name).is_file():
            yield "now", name, (ROOT / name).read_bytes()


def test_no_secret_is_in_the_files_or_in_any_version_they_ever_had(tmp_path):
    for version, name, content in versions():
        if not name.endswith(LEFT_OUT):
            kept = tmp_path / version / name
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(content)
    strange = {kind: name for kind, name in found(tmp_path).items() if kind not in known()}
    assert not strange


def test_the_scanner_sees_a_secret_that_was_not_looked_at(tmp_path):
    (tmp_path / "settings.py").write_text(f'aws_key = "{"AKIA" + "Z7QX" * 4}"\n')
    assert {kind for kind, _ in found(tmp_path).keys() - known()} >= {"AWS Access Key"}


@pytest.mark.parametrize("host", ["--index-url", "--extra-index-url", "files." + "pythonhosted", "registry." + "npmjs"])
def test_no_registrys_host_is_in_the_files(host):
    for name in git("ls-files").decode().splitlines():
        path = ROOT / name
        if path != Path(__file__) and path.is_file():
            assert host not in path.read_bytes().decode("utf-8", errors="replace"), f"{name} holds {host}"
