"""The stack's own database: made only when it is requested, private, and reached with the secrets of the stack."""

import json
import re

from template_and_code import RESOURCES, ROOT

from functions.core import storage
from functions.model.database import connection_parameters


def test_the_resources_of_the_database_have_the_condition_that_the_stack_makes_one():
    kinds = ("AWS::EC2::", "AWS::RDS::", "AWS::SecretsManager::")
    for name, resource in RESOURCES.items():
        if resource["Type"].startswith(kinds) or name.startswith("Prepare"):
            assert resource["Condition"] == "MakesDatabase", name


def test_the_database_is_private_encrypted_and_protected_and_rds_manages_the_owners_password():
    database = RESOURCES["Database"]
    properties = database["Properties"]
    assert (properties["PubliclyAccessible"], properties["StorageEncrypted"]) == (False, True)
    assert (properties["ManageMasterUserPassword"], "MasterUserPassword" in properties) == (True, False)
    assert (properties["DeletionProtection"], database["DeletionPolicy"]) == (True, "Snapshot")
    assert database["UpdateReplacePolicy"] == "Snapshot"
    assert int(properties["EngineVersion"]) >= 15
    assert not [each for each in RESOURCES.values() if each["Type"] == "AWS::EC2::InternetGateway"]


def test_the_secrets_of_the_stack_hold_what_a_connection_needs(monkeypatch):
    for name, role in (("LoaderSecret", "ikirere_loader"), ("ReaderSecret", "metabase_reader")):
        made = RESOURCES[name]["Properties"]["GenerateSecretString"]
        written = re.sub(r"\$\{Database\.Endpoint\.(\w+)\}", r"\1", made["SecretStringTemplate"]["Fn::Sub"])
        secret = json.loads(written.replace("Port", "5432")) | {made["GenerateStringKey"]: "secret"}
        monkeypatch.setattr(storage, "secret", lambda _, secret=secret: secret)
        parameters = connection_parameters({"DATABASE_SECRET": name})
        assert (parameters["host"], parameters["port"], parameters["user"]) == ("Address", 5432, role)
        assert parameters["sslmode"] == "require"


def test_a_migration_has_all_the_time_that_a_function_can_have_and_its_callers_wait_for_it():
    """A migration fills new columns from every stored hour: in 26 million hours that takes minutes."""
    seconds = RESOURCES["PrepareFunction"]["Properties"]["Timeout"]
    assert seconds == 900
    for path in ("docs/aws.md", ".github/workflows/deploy.yml"):
        (waits,) = re.findall(r"lambda invoke .*--cli-read-timeout (\d+)", (ROOT / path).read_text(encoding="utf-8"))
        assert int(waits) > seconds, path
