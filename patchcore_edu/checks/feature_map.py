"""The exercise of 01: the vector at one place, φ_{i,j}(h, w) (§3.1)."""

from patchcore_edu.checks.machinery.answers import tensors
from patchcore_edu.checks.machinery.cases import counted, generated
from patchcore_edu.checks.machinery.exercise import Exercise
from patchcore_edu.feature_map import feature_vector

FEATURE_VECTOR = Exercise(
    "01_feature_map",
    "feature_vector(phi_j, h, w) → tensor (n, c)",
    "§3.1: φ_{i,j}(h, w), the vector at row h and column w (0-based) of the maps phi_j (n, c, h*, w*).",
    feature_vector,
    {
        "row 0, column 1": (counted(1, 2, 2, 3), 0, 1),
        "the last row and column": (counted(1, 2, 2, 3), 1, 2),
        "three images": (generated(0, 3, 4, 5, 6), 4, 2),
    },
    {
        "(h, w) swapped": ("Which axis of (n, c, h*, w*) is the row?", lambda phi_j, h, w: phi_j[:, :, w, h]),
        "one channel only": ("A place has one number in each channel.", lambda phi_j, h, w: phi_j[:, 0, h, w]),
        "first image only": ("phi_j holds n images. Keep their axis.", lambda phi_j, h, w: phi_j[0, :, h, w]),
        "counted from 1": ("The first row is h = 0.", lambda phi_j, h, w: phi_j[:, :, h - 1, w - 1]),
        "channels taken as the last axis": (
            "The axes of phi_j are (n, c, h*, w*).",
            lambda phi_j, h, w: phi_j[:, h, w, :],
        ),
    },
    tensors("vector"),
)
