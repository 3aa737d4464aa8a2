"""The real raw bucket and warehouse of the session's emulator."""

import pytest
from pipeline import Pipeline

from functions.core.storage import RawStore


@pytest.fixture(scope="module")
def raw(deployed: Pipeline) -> RawStore:
    return RawStore(deployed.outputs["RawBucket"], deployed.emulator.aws.client)
