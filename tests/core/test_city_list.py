"""The city list in use: of the package, or of S3, where it changes without a deployment."""

import pytest
from aws import RAW, buckets

from functions.core import city_list
from functions.core.cities import load_cities
from functions.core.city_list import listed_cities
from functions.core.errors import InvalidInputError

HEADER = "city_id,city,country,latitude,longitude,timezone,population,area_km2\n"
KIGALI = "kigali,Kigali,Rwanda,-1.95,30.06,Africa/Kigali,1,1\n"
HUYE = "huye,Huye,Rwanda,-2.6,29.74,Africa/Kigali,1,1\n"


@pytest.fixture
def put(monkeypatch):
    """A function that stores a list in S3; the environment names it."""
    city_list._parsed.clear()
    with buckets(monkeypatch) as s3:
        monkeypatch.setenv("CITIES_URI", f"s3://{RAW}/lists/cities.csv")
        yield lambda body: s3.put_object(Bucket=RAW, Key="lists/cities.csv", Body=body)


@pytest.mark.parametrize("uri", [None, ""])
def test_without_an_address_the_list_of_the_package_is_in_use(monkeypatch, uri):
    monkeypatch.delenv("CITIES_URI", raising=False)
    if uri is not None:
        monkeypatch.setenv("CITIES_URI", uri)
    assert listed_cities() == load_cities()


def test_a_list_in_s3_is_read_again_when_it_has_changed_and_only_then(put, monkeypatch):
    put((HEADER + KIGALI).encode())
    assert list(listed_cities()) == ["kigali"]
    parsed = []
    parse = city_list.parse_cities
    monkeypatch.setattr(city_list, "parse_cities", lambda *given: parsed.append(given) or parse(*given))
    assert list(listed_cities()) == ["kigali"]
    assert not parsed
    put((HEADER + HUYE + KIGALI).encode("utf-8-sig"))
    assert list(listed_cities()) == ["huye", "kigali"]
    assert len(parsed) == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ((HEADER + KIGALI + KIGALI).encode(), "line 3: duplicate city_id 'kigali'"),
        (HEADER.encode() + b"\xff", "is not UTF-8"),
        (b"", "is empty"),
    ],
)
def test_a_wrong_list_is_rejected_with_its_address_and_the_one_before_is_not_used(put, body, says):
    put((HEADER + KIGALI).encode())
    listed_cities()
    put(body)
    for _ in range(2):
        with pytest.raises(InvalidInputError, match=f"city list s3://{RAW}/lists/cities.csv: {says}"):
            listed_cities()


def test_a_list_that_is_not_there_is_invalid_input(put):
    with pytest.raises(InvalidInputError, match="NoSuchKey"):
        listed_cities()


@pytest.mark.parametrize("uri", ["s3://", "s3://bucket", "s3://bucket/", "https://bucket/key", "cities.csv"])
def test_an_address_that_is_not_one_of_s3_is_invalid_input(put, monkeypatch, uri):
    monkeypatch.setenv("CITIES_URI", uri)
    with pytest.raises(InvalidInputError, match=f"{uri}: is not s3://bucket/key"):
        listed_cities()
