"""The template on ministack, as the repository has it.

Changed on the way are only the pointers to code and definition, and the runtime: ``provided.al2023`` with AWS's own
runtime client, since ministack's Python executor reports every error as ``Runtime.HandlerError`` and no Retry by name
would match.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from emulator import stack
from emulator.cloud import Cloud
from emulator.state import ROOT, State
from functions.core.cities import CITY_LIST

# Not the interpreter as shebang: a kernel cuts those off, and a checkout's path may be long.
_BOOTSTRAP = '#!/bin/sh\nexec "$IKIRERE_PYTHON" -m awslambdaric "$_HANDLER"\n'


def deploy(
    cloud: Cloud, state: State, parameters: Mapping[str, str], database_url: str, city_list: Path
) -> dict[str, str]:
    """Bring the stack to what template, code, city list and parameters say; its outputs.

    Nothing is done when that is what it is. Raises RefusalError when CloudFormation refuses.
    """
    template, artifacts = stack.packaged_template(lambda function: _package(function, city_list), "provided.al2023")
    given = {**parameters, "DatabaseSecret": stack.put_database_secret(cloud.client, database_url)}
    said = json.dumps(template, sort_keys=True) + json.dumps(given, sort_keys=True)
    fingerprint = hashlib.sha256(said.encode()).hexdigest()
    made = outputs(cloud)
    if not made or state.settings().get("deployed") != fingerprint:
        made = stack.apply(cloud.client, template, artifacts, given)
        state.remember(deployed=fingerprint)
    _adopt(cloud, made)
    return made


def outputs(cloud: Cloud) -> dict[str, str]:
    """The outputs of the stack; empty when it is not deployed."""
    return stack.outputs(cloud.client)


def _package(function: str, city_list: Path) -> bytes:
    """A function's package: the core and its own folder, imported from the repository's root. Deterministic."""
    sources = ROOT / "functions"
    files = {"functions/__init__.py": sources / "__init__.py"}
    for folder in (sources / "core", sources / function):
        files |= {
            path.relative_to(ROOT).as_posix(): path
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    files[CITY_LIST.relative_to(ROOT).as_posix()] = city_list
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name].read_bytes(), zipfile.ZIP_DEFLATED)
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        archive.writestr(bootstrap, _BOOTSTRAP)
    return package.getvalue()


def _adopt(cloud: Cloud, outputs: Mapping[str, str]) -> None:
    """Move what lies in the buckets of a stack that was lost (a killed ministack keeps only S3) into the new one's."""
    s3 = cloud.client("s3")
    present = stack.buckets(cloud.client)
    for output in ("RawBucket", "ProcessedBucket"):
        for orphan in present:
            if orphan == outputs[output] or not orphan.startswith(f"{stack.STACK}-{output.lower()}-"):
                continue
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=orphan)
            for key in [item["Key"] for page in pages for item in page.get("Contents", ())]:
                s3.copy_object(Bucket=outputs[output], Key=key, CopySource={"Bucket": orphan, "Key": key})
            # it had versions
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=orphan):
                for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    s3.delete_object(Bucket=orphan, Key=version["Key"], VersionId=version["VersionId"])
            s3.delete_bucket(Bucket=orphan)
