"""The repository and its history contain no secret, and the files name no package registry."""

import json
import subprocess
from pathlib import Path

import pytest
from detect_secrets import SecretsCollection
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).parents[2]
# Findings that were reviewed and are no secrets: `detect-secrets scan --baseline .secrets.baseline`, then `audit`.
BASELINE = json.loads((ROOT / ".secrets.baseline").read_text(encoding="utf-8"))
# Files of hashes, and a picture.
LEFT_OUT = ("requirements.txt", "requirements-dev.txt", ".secrets.baseline", ".png")


def git(*arguments, standard_input=b""):
    done = subprocess.run(["git", *arguments], cwd=ROOT, input=standard_input, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return done.stdout


def found(folder):
    """Return the kind and hash of each secret in the files below a folder, with its file."""
    settings = {key: BASELINE[key] for key in ("plugins_used", "filters_used")}
    with transient_settings(settings):
        secrets = SecretsCollection()
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            secrets.scan_file(str(path))
    return {(secret.type, secret.secret_hash): name for name, secret in secrets}


def known():
    return {(each["type"], each["hashed_secret"]) for secrets in BASELINE["results"].values() for each in secrets}


def versions():
    """Yield folder, name and content of every version of every file in HEAD's history, and of the present files."""
    # Not --all: other branches differ between clones. A branch is scanned when it is checked out, and when merged.
    objects = git("rev-list", "HEAD", "--objects")
    output = git("cat-file", "--batch=%(objectname) %(objecttype) %(objectsize) %(rest)", standard_input=objects)
    position = 0
    while position < len(output):
        end = output.index(b"\n", position)
        sha, kind, size, name = output[position:end].decode().split(" ", maxsplit=3)
        content = output[end + 1 : end + 1 + int(size)]
        if kind == "blob":
            yield sha, name, content
        position = end + 1 + int(size) + 1
    for name in git("ls-files", "--cached", "--others", "--exclude-standard").decode().splitlines():
        if (ROOT / name).is_file():
            yield "now", name, (ROOT / name).read_bytes()


@pytest.mark.slow
def test_no_version_of_a_file_contains_a_secret(tmp_path):
    for version, name, content in versions():
        if not name.endswith(LEFT_OUT):
            path = tmp_path / version / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    unknown = {kind: name for kind, name in found(tmp_path).items() if kind not in known()}
    assert not unknown


def test_the_scanner_finds_a_secret_that_is_not_in_the_baseline(tmp_path):
    (tmp_path / "settings.py").write_text(f'aws_key = "{"AKIA" + "Z7QX" * 4}"\n')
    assert {kind for kind, _ in found(tmp_path).keys() - known()} >= {"AWS Access Key"}


@pytest.mark.parametrize("host", ["--index-url", "--extra-index-url", "files." + "pythonhosted", "registry." + "npmjs"])
def test_no_file_names_a_package_registry(host):
    for name in git("ls-files").decode().splitlines():
        path = ROOT / name
        if path != Path(__file__) and path.is_file():
            assert host not in path.read_bytes().decode("utf-8", errors="replace"), f"{name} contains {host}"
