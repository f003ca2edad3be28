"""The playground: PatchCore live in one page, without Python. `build(out)` writes it."""

from patchcore_edu.playground.bundle import build

__all__ = ["build"]
