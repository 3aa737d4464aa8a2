"""The import time of each handler against boto3 with an S3 client, from compiled bytecode, in interleaved processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HANDLERS = ("ingest", "transform", "model")
_YARDSTICK = "import boto3; boto3.client('s3', region_name='us-east-1')"
_PROGRAM = """
import time
started = time.perf_counter()
{statement}
print(time.perf_counter() - started)
"""


def imports(package: Path, rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the seconds of each statement in each round; ``package`` has ``functions`` with its bytecode."""
    statements = {"boto3 with an S3 client": _YARDSTICK}
    statements |= {name: f"import functions.{name}.handler" for name in HANDLERS}
    rows = []
    # the first round writes the bytecode of the libraries that lack it
    for number in range(-1, rounds):
        names = list(statements)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seconds = _seconds(statements[name], package)
            if number >= 0:
                rows.append({"import": name, "round": number, "seconds": seconds})
    say(f"imports: {rounds} rounds")
    return rows


def _seconds(statement: str, package: Path) -> float:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(statement=statement)],
        cwd=package,
        env={**environment, "AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout))
