"""A warehouse with the schema, the part of the emulator that an export uses, and a server of DHIS2."""

import pytest
from dhis2.contract_server import ContractServer, Element
from dhis2.marts import CITIES, ELEMENTS, MALARIA, ORG_UNITS

from functions.model.comments import write_comments
from functions.model.migrations import migrate


class Warehouse:
    """What an export reads of the emulator: the address of the warehouse, and the city list."""

    def __init__(self, url):
        self.url = url

    def reading_url(self):
        return self.url

    def cities(self):
        return CITIES


@pytest.fixture
def warehouse(database_url):
    migrate({"dsn": database_url})
    write_comments({"dsn": database_url})
    return Warehouse(database_url)


@pytest.fixture(params=["2.41", "2.37"])
def server(request):
    """A DHIS2 with the objects of the tests' mapping, of a version with web messages and of one without."""
    with ContractServer(request.param) as made:
        made.org_units.update(ORG_UNITS.values())
        kinds = {"hot_days": "INTEGER", "wettest_date": "DATE", "is_complete": "BOOLEAN"}
        made.elements = {uid: Element(kinds.get(measure, "NUMBER")) for measure, uid in ELEMENTS.items()}
        made.elements[MALARIA] = Element("BOOLEAN", "Monthly")
        yield made


@pytest.fixture
def mapping_file(tmp_path):
    """A function that writes a mapping; its path."""

    def write(text):
        path = tmp_path / "mapping.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
