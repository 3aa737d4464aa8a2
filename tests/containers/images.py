"""The images that the test runs: present, pulled, or for LocalStack a substitute that is built here."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

LOCALSTACK = "localstack/localstack:4.14.0"
FUNCTIONS = "public.ecr.aws/lambda/python:3.13"
RECIPE = Path(__file__).parent / "localstack"
# The property of a test report with the substitute of an image.
PROPERTY = "image"


def obtain(images: Mapping[str, str | None]) -> dict[str, str]:
    """Make all images available; return for each the image to run.

    ``images`` has the platform of each image, if it needs one. The test fails if an image can be neither pulled nor
    built; the message has the cause and what to do.
    """
    errors = {name: error for name, platform in images.items() if (error := _pull(name, platform))}
    unavailable = {name: error for name, error in errors.items() if name != LOCALSTACK}
    if unavailable:
        listed = "\n".join(f"  {name}: {error}" for name, error in unavailable.items())
        _fail(
            f"{len(unavailable)} of the {len(images)} images are not on this machine and cannot be pulled:\n{listed}\n"
            "Pull them where a registry is reachable (docker save, docker load), or make local images with the same "
            "names: ../shared/tools/container-lab 3.13 makes those of Postgres and the functions."
        )
    return {name: _build_localstack(error) if (error := errors.get(name)) else name for name in images}


def describe(name: str, used: str) -> str:
    """Say for one image of docker-compose.yml what ran in its place."""
    if used != name:
        return f"{name}: SUBSTITUTE {used}, built from tests/containers/localstack, because the image cannot be pulled"
    digests = json.loads(_docker("image", "inspect", "--format", "{{json .RepoDigests}}", name).stdout)
    return f"{name}: {f'pulled, {digests[0]}' if digests else 'made on this machine, not from a registry'}"


def _fail(message: str) -> NoReturn:
    pytest.fail(message, pytrace=False)


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=1800, check=False)


def _pull(name: str, platform: str | None) -> str:
    """Pull the image unless it is present; return the error, empty on success."""
    if _docker("image", "inspect", name).returncode == 0:
        return ""
    done = _docker("pull", "--quiet", *(("--platform", platform) if platform else ()), name)
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip()


def _build_localstack(pull_error: str) -> str:
    """Build the substitute of this recipe unless it is present; return its name."""
    digest = hashlib.sha256(_docker("image", "inspect", "--format", "{{.Id}}", FUNCTIONS).stdout.encode())
    for path in sorted(RECIPE.iterdir()):
        if path.is_file():
            digest.update(f"{path.name} ".encode() + path.read_bytes())
    name = f"ikirere/localstack-substitute:4.14.0-{digest.hexdigest()[:12]}"
    if _docker("image", "inspect", name).returncode == 0:
        return name
    with tempfile.TemporaryDirectory(prefix="ikirere-localstack-") as folder:
        context = Path(folder) / "context"
        shutil.copytree(RECIPE, context, ignore=shutil.ignore_patterns("__pycache__"))
        wheels = subprocess.run(
            [
                os.environ.get("PYTHON313") or "python3.13", "-m", "pip", "wheel", "--quiet", "--require-hashes",
                "--requirement", str(RECIPE / "requirements.txt"), "--wheel-dir", str(context / "wheels"),
            ],
            capture_output=True, text=True, timeout=1800, check=False,
        )  # fmt: skip
        if wheels.returncode != 0:
            _fail(
                f"{LOCALSTACK} cannot be pulled: {pull_error}\n"
                f"and for its substitute pip cannot get the packages of tests/containers/localstack:\n{wheels.stderr}"
            )
        built = _docker("build", "--tag", name, "--build-arg", f"BASE={FUNCTIONS}", str(context))
        if built.returncode != 0:
            _fail(
                f"{LOCALSTACK} cannot be pulled: {pull_error}\n"
                f"and its substitute of tests/containers/localstack does not build:\n{built.stdout}{built.stderr}"
            )
    return name
