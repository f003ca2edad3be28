"""PatchCore, equation by equation: the paper's symbols and the functions that compute them, in the paper's order.

paper                     function
------------------------  ---------------------------------------------------------------
φ_j                       load_backbone(name)
φ_{i,j}                   feature_maps(images, backbone, levels)
φ_{i,j}(h, w)             feature_vector(phi_j, h, w)
N_p^(h,w)        eq. 1    neighbourhood(h, w, p, shape)
f_agg            eq. 2    aggregate(phi_j, p)
P_{s,p}          eq. 3    patch_set(phi, p, s)
M                eq. 4    memory_bank(patches)
‖m − n‖₂                  nearest_neighbours(queries, vectors, k)
M_C              eq. 5    greedy_coreset(vectors, ratio)
ψ                Alg. 1   random_projection(vectors, dim)
max min ‖m − n‖₂ eq. 5    covering_radius(vectors, chosen)
m^{test,*}, s*   eq. 6    max_patch_score(distance)
w                eq. 7    reweighting_factor(patches, nearest, vectors, b)
s                eq. 7    image_score(patches, vectors, b)
anomaly map      §3.3     anomaly_map(distance, size)
all of it        §3       PatchCore(backbone, levels, p, s, coreset_ratio, b).fit(images).predict(images)

`patchcore_edu.definitions` has every equation as plain loops.
"""

import sys

try:
    from patchcore_edu import threads  # noqa: F401 - first: how PyTorch's threads wait is read when torch is loaded
    from patchcore_edu.aggregation import aggregate
    from patchcore_edu.anomaly_map import anomaly_map
    from patchcore_edu.anomaly_score import image_score, max_patch_score, patch_neighbours, reweighting_factor
    from patchcore_edu.backbone import load_backbone
    from patchcore_edu.conventions import CONVENTIONS, Conventions
    from patchcore_edu.coreset import covering_radius, greedy_coreset, random_projection
    from patchcore_edu.feature_map import feature_maps, feature_vector
    from patchcore_edu.memory_bank import MemoryBank, memory_bank
    from patchcore_edu.metrics import auroc, pro
    from patchcore_edu.nearest_neighbours import nearest_neighbours
    from patchcore_edu.neighbourhood import neighbourhood
    from patchcore_edu.patch_set import merge_levels, patch_set
    from patchcore_edu.patchcore import PatchCore, Prediction
except ModuleNotFoundError as missing:
    if missing.name.startswith("patchcore_edu"):
        raise
    # `python -m patchcore_edu doctor` must run even where something is missing: it says what.
    if sys.argv[:2] != ["-m", "doctor"]:
        raise ModuleNotFoundError(
            f"{missing.name.partition('.')[0]} is missing: run `pip install -e .` in the project's folder, or "
            "`python -m patchcore_edu doctor` to see what else is missing",
            name=missing.name,
        ) from missing

__all__ = [
    "CONVENTIONS",
    "Conventions",
    "MemoryBank",
    "PatchCore",
    "Prediction",
    "aggregate",
    "anomaly_map",
    "auroc",
    "covering_radius",
    "feature_maps",
    "feature_vector",
    "greedy_coreset",
    "image_score",
    "load_backbone",
    "max_patch_score",
    "memory_bank",
    "merge_levels",
    "nearest_neighbours",
    "neighbourhood",
    "patch_neighbours",
    "patch_set",
    "pro",
    "random_projection",
    "reweighting_factor",
]
