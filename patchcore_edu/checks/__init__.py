"""Checks for the exercises: `from patchcore_edu import checks as check`, then `check.<name>(your function)`.

A check tries a function on handmade and generated cases, and returns a `Verdict`: right, or the first case that
differs with both values, the common mistake that it looks like, and a hint. It never raises. `check.<name>` on its own
shows the task. `check.progress()` shows what has been solved; it is kept in `.patchcore_edu_progress.json` in the
working directory, or in the file that the environment variable PATCHCORE_EDU_PROGRESS names.

write                                                                  notebook
---------------------------------------------------------------------  ----------------
feature_vector(phi_j, h, w) → tensor (n, c)                            01_feature_map
neighbourhood(h, w, p, shape) → list of (a, b)                         02_neighbourhood
aggregate(phi_j, p) → tensor (n, c, h*, w*)                            03_aggregation
patch_set(phi, p, s) → tensor (n, h', w', d)                           04_patch_set
merge_levels(maps) → tensor (n, c_1 + c_2 + …, h, w)                   04_patch_set
memory_bank(patches) → tensor (N, d)                                   05_memory_bank
greedy_coreset(vectors, size, start) → list of row numbers             06_coreset
covering_radius(vectors, chosen) → number                              06_coreset
nearest_neighbours(queries, vectors) → distance (q,), index (q,)       07_anomaly_score
reweighting_factor(m_test, m_star, vectors, b) → number                07_anomaly_score
image_score(patches, vectors, b) → number                              07_anomaly_score
anomaly_map(distance, size, sigma) → tensor (H, W)                     08_anomaly_map
auroc(score, anomalous) → number                                       08_anomaly_map
threshold(held_out, rate) → number                                     08_anomaly_map
patchcore(good, test, p, b, size) → score (n,), map (n, H, W)          09_patchcore

`check.experiment(name, number)` checks a number found in an experiment, and says how far off it is.
"""

from patchcore_edu.checks.aggregation import AGGREGATE as aggregate
from patchcore_edu.checks.anomaly_map import ANOMALY_MAP as anomaly_map
from patchcore_edu.checks.anomaly_map import AUROC as auroc
from patchcore_edu.checks.anomaly_map import THRESHOLD as threshold
from patchcore_edu.checks.anomaly_score import IMAGE_SCORE as image_score
from patchcore_edu.checks.anomaly_score import NEAREST_NEIGHBOURS as nearest_neighbours
from patchcore_edu.checks.anomaly_score import REWEIGHTING_FACTOR as reweighting_factor
from patchcore_edu.checks.coreset import COVERING_RADIUS as covering_radius
from patchcore_edu.checks.coreset import GREEDY_CORESET as greedy_coreset
from patchcore_edu.checks.experiments import experiment
from patchcore_edu.checks.feature_map import FEATURE_VECTOR as feature_vector
from patchcore_edu.checks.machinery.exercise import Exercise
from patchcore_edu.checks.machinery.record import solved
from patchcore_edu.checks.machinery.verdict import Progress, Verdict
from patchcore_edu.checks.memory_bank import MEMORY_BANK as memory_bank
from patchcore_edu.checks.neighbourhood import NEIGHBOURHOOD as neighbourhood
from patchcore_edu.checks.patch_set import MERGE_LEVELS as merge_levels
from patchcore_edu.checks.patch_set import PATCH_SET as patch_set
from patchcore_edu.checks.patchcore import PATCHCORE as patchcore

EXERCISES = (
    feature_vector,
    neighbourhood,
    aggregate,
    patch_set,
    merge_levels,
    memory_bank,
    greedy_coreset,
    covering_radius,
    nearest_neighbours,
    reweighting_factor,
    image_score,
    anomaly_map,
    auroc,
    threshold,
    patchcore,
)

__all__ = ["EXERCISES", "Exercise", "Progress", "Verdict", "experiment", "progress", *(e.name for e in EXERCISES)]


def progress() -> Progress:
    """The exercises in the course's order, and when each was first solved."""
    times = solved()
    return Progress(tuple((exercise.notebook, exercise.name, times.get(exercise.name)) for exercise in EXERCISES))
