"""Settings of the test run, from environment variables."""

import os

# Continuous integration sets this, so that no test is skipped unnoticed.
REQUIRE_ALL = os.environ.get("PATCHCORE_EDU_REQUIRE_ALL") == "1"
