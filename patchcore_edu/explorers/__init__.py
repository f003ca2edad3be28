"""Explorers: move p, s, the levels, and watch real results change. The only place with widgets.

    from patchcore_edu.explorers import Neighbourhood
    Neighbourhood(p=5)

Each is a state (checked values), a pure `render(state)` that returns a `Picture`, and a view that joins the two.
"""

from importlib import import_module

_MODULES = {
    "FeatureMap": "feature_map",
    "Neighbourhood": "neighbourhood",
    "Aggregation": "aggregation",
    "PatchSet": "patch_set",
    "Bank": "memory_bank",
    "Coreset": "coreset",
    "Reweighting": "reweighting",
    "AnomalyScore": "anomaly_score",
    "AnomalyMap": "anomaly_map",
    "Pipeline": "patchcore",
    "PaintDefect": "tour",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> type:
    # Loaded on demand: each explorer brings its own photographs, banks and tables.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
