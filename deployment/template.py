"""The template for CloudFormation: paths replaced by pointers to uploaded artifacts, as ``sam package`` does."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[1]
ARTIFACT_BUCKET = "ikirere-artifacts"

# The package of a function, by the function's folder: ingest, transform or model.
Packages = Callable[[str], bytes]


def packaged_template(
    packages: Packages, runtime: str | None = None, parallel: int | None = None
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the template with pointers in place of paths, and the artifacts that they point to, by object key.

    Where an emulator needs it, ``runtime`` replaces the template's own runtime, and ``parallel`` the path of a Map's
    concurrency in its input.
    """
    template: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    artifacts = {}
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            package = packages(properties["Handler"].split(".")[1])
            key = f"{hashlib.sha256(package).hexdigest()}.zip"
            properties |= {"CodeUri": {"Bucket": ARTIFACT_BUCKET, "Key": key}} | (
                {"Runtime": runtime} if runtime else {}
            )
            artifacts[key] = package
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            definition = (ROOT / properties["DefinitionUri"]).read_bytes()
            if parallel is not None:
                definition = _with_concurrency(definition, parallel)
            key = f"{hashlib.sha256(definition).hexdigest()}.asl.json"
            properties["DefinitionUri"] = {"Bucket": ARTIFACT_BUCKET, "Key": key}
            artifacts[key] = definition
    return template, artifacts


def _with_concurrency(definition: bytes, parallel: int) -> bytes:
    """Return a definition with the concurrency itself instead of its path."""
    return re.sub(rb'"MaxConcurrencyPath": "[^"]+"', b'"MaxConcurrency": %d' % parallel, definition)
