"""Audit every lock file with pip-audit: ``python .ci/audit.py PIP_AUDIT [LOCK ...]``.

Exit codes: 0 no known vulnerability, 1 some, 2 packages that could not be audited. pip-audit itself ends with 0 when
its service knows none of the packages, and with 1 whether a package is vulnerable or the service cannot be reached.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_OPTIONS = ("--format", "json", "--progress-spinner", "off", "--disable-pip", "--require-hashes", "--requirement")
_SHOWN = 5


def locks() -> list[Path]:
    """Return the lock files of the product, its tests and its benchmarks."""
    return [
        ROOT / "requirements.txt",
        ROOT / "requirements-dev.txt",
        ROOT / "benchmarks" / "requirements.txt",
        *sorted((ROOT / "functions").glob("*/requirements.txt")),
    ]


def audit(program: str, lock: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the vulnerabilities of each package of a lock file, and why others could not be audited."""
    try:
        done = subprocess.run([program, *_OPTIONS, str(lock)], capture_output=True, text=True, check=False)
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except OSError as error:
        return {}, {str(lock): str(error)}
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines() or ["pip-audit gave no result"]
        return {}, {str(lock): lines[-1]}
    found, unknown = {}, {}
    for each in dependencies:
        if "skip_reason" in each:
            unknown[each["name"]] = each["skip_reason"]
        else:
            fixed = (f"{one['id']}, fixed in {', '.join(one['fix_versions']) or 'no version'}" for one in each["vulns"])
            found[f"{each['name']} {each['version']}"] = list(fixed)
    return found, unknown


def main(arguments: Sequence[str]) -> int:
    program, *named = arguments
    found: dict[str, list[str]] = {}
    unknown: dict[str, str] = {}
    for lock in [Path(name) for name in named] or locks():
        one, other = audit(program, lock)
        found |= one
        unknown |= other
    vulnerable = {package: each for package, each in found.items() if each}
    for package, vulnerabilities in vulnerable.items():
        print(f"{package}: {'; '.join(vulnerabilities)}")
    print(f"{len(found)} packages audited, {len(vulnerable)} with a known vulnerability")
    if unknown:
        some = "; ".join(f"{name}: {reason}" for name, reason in list(unknown.items())[:_SHOWN])
        print(
            f"{len(unknown)} could not be audited ({some}); pip-audit asks pypi.org: run it where that can be reached",
            file=sys.stderr,
        )
    return 1 if vulnerable else 2 if unknown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
