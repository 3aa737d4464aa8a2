"""The commands of the docs: those of README.md and docs/lineage.md run, the others are checked against their tool.

The interface of aws is botocore's description of the service, that of docker compose the services and profiles of its
file (``make test-containers`` runs those commands), that of sam its sub-commands and samconfig.toml.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from botocore import xform_name
from botocore.session import Session

from benchmarks import cost
from command_line.main import parser

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
# The pages whose commands run, in this order and in one state folder.
RUN = (README, ROOT / "docs" / "lineage.md")
PAGES = sorted([README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
SAM = {"build", "deploy", "delete", "validate"}
# Options of the aws command line itself; of `logs tail`, which it alone has; and `--no-X`, a boolean's other form.
AWS_OPTIONS = {"output", "query", "cli-read-timeout", "max-items", "since"}
COMPOSE = {"up", "ps", "logs", "stop", "down", "config"}


def commands(path):
    blocks = re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split("  #")[0].split(" # ")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    outer = {
        name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "MAKEFLAGS", "MAKELEVEL")
    }
    return outer | {
        "IKIRERE_HOME": str(tmp_path_factory.mktemp("readme") / "state"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def test_the_readme_begins_with_what_it_is_a_picture_and_two_commands():
    assert commands(README)[:2] == ["make run", "make test"]
    before = README.read_text(encoding="utf-8").split("```sh")[0]
    (picture,) = re.findall(r"!\[.+?\]\((.+?)\)", before)
    assert (ROOT / picture).stat().st_size > 10_000


@pytest.mark.parametrize("command", [command for page in RUN for command in commands(page)], ids=str)
def test_a_command_of_the_readme_and_of_the_page_on_lineage_works(command, environment):
    # make test would run this test again, so make only prints its recipes
    words = ["make", "-n", "test"] if command == "make test" else shlex.split(command)
    # what ikirere writes stays out of the checkout
    folder = ROOT if words[0] == "make" else Path(environment["IKIRERE_HOME"]).parent
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_aws(words):
    service, operation, *rest = words
    options = [word.removeprefix("--") for word in rest if word.startswith("--")]
    if (service, operation) == ("logs", "tail"):
        return set(options) - AWS_OPTIONS
    model = Session().get_service_model(service)
    found = {xform_name(name, "-"): name for name in model.operation_names}
    members = {xform_name(name, "-") for name in model.operation_model(found[operation]).input_shape.members}
    return {each for each in options if each not in members | AWS_OPTIONS and each.removeprefix("no-") not in members}


def check_sam(words):
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    stage = words[words.index("--config-env") + 1] if "--config-env" in words else "default"
    return {words[0]} - SAM | {stage} - config.keys()


def check_compose(words):
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    profiles = {profile for service in file.values() for profile in service.get("profiles", ())}
    named = {words[n + 1] for n, word in enumerate(words) if word == "--profile"}
    plain = [word for word in words[1:] if not word.startswith("-") and word not in named]
    return named - profiles | {plain[0]} - COMPOSE | set(plain[1:]) - file.keys()


def check_make(words):
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else None


def check_python(words):
    return None if words[0] == "-m" and importlib.util.find_spec(words[1]) else words


def check_ikirere(words):
    return None if parser().parse_args(words).command else words


CHECKS = {
    "ikirere": check_ikirere,
    "aws": check_aws,
    "sam": check_sam,
    "docker": check_compose,
    "make": check_make,
    "python": check_python,
}


@pytest.mark.parametrize(
    "command", [command for page in PAGES if page not in RUN for command in commands(page)], ids=str
)
def test_a_command_of_the_other_pages_is_one_that_is_understood(command):
    inside = re.fullmatch(r"[A-Z]+=\$\((.*)\)", command)
    words = shlex.split(inside.group(1) if inside else command)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    if words and words[0] not in ("export", "git"):
        assert not CHECKS[words[0]](words[1:])


def test_the_readme_names_every_command_there_is():
    actions = [action for action in parser()._actions if action.choices]
    for command in actions[0].choices:
        assert f"ikirere {command}" in README.read_text(encoding="utf-8"), command


def test_the_costs_are_what_the_prices_make_of_the_measurements():
    lines = cost.table(cost.MEASURED.read_text(encoding="utf-8"))
    assert "\n".join(lines) in (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")


def test_every_parameter_of_the_template_that_the_pages_name_is_there():
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:[A-Z][a-z]+){2,})(?:=[\w.]+)?`", page):
        assert f"\n  {name}:\n" in template or name.endswith("Error"), name


def test_every_file_that_a_recipe_names_is_there():
    named = re.findall(r"`([a-z_]+/[\w./]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    wanted = {name for name in named if "NAME" not in name and "NNN" not in name}
    assert wanted
    assert not {name for name in wanted if not (ROOT / name).exists()}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_every_link_to_a_file_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("page", ["docs/guarantees.md", "SECURITY.md"])
def test_the_guarantees_and_the_page_on_security_name_tests_that_exist(page):
    named = set(re.findall(r"`(test_\w+)`", (ROOT / page).read_text(encoding="utf-8")))
    files = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert named
    assert named <= {name for text in files for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
