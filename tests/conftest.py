"""Settings that every test shares."""

import os

import pytest

# The continuous integration sets this, so that there no test can drop out unnoticed.
REQUIRE_ALL = os.environ.get("PATCHCORE_EDU_REQUIRE_ALL") == "1"


@pytest.fixture(scope="session")
def require():
    """`require(found, what)`: without it skip the test, or fail where all is required."""

    def require(found: object, what: str) -> None:
        if not found:
            (pytest.fail if REQUIRE_ALL else pytest.skip)(f"{what} not found")

    return require
