"""What the environment says about the run."""

import os

# The continuous integration sets this, so that there no test can drop out unnoticed.
REQUIRE_ALL = os.environ.get("PATCHCORE_EDU_REQUIRE_ALL") == "1"
