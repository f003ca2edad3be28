"""One colour for each role: the same in formulas, text, comments, pictures and explorers.

The six hues are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

QUERY = "#D55E00"  # vermilion: the patch in question, at (h, w)
NEIGHBOURHOOD = "#E69F00"  # orange: N_p, the cells around it
BANK = "#56B4E9"  # sky blue: M, the patches of good images
CORESET = "#0072B2"  # blue: M_C, the entries that are kept
NEAREST = "#009E73"  # green: m*, the entry nearest to the query
ANOMALY = "#CC79A7"  # purple: defects, masks and whatever scores high

ROLES = {
    "query": QUERY,
    "neighbourhood": NEIGHBOURHOOD,
    "bank": BANK,
    "coreset": CORESET,
    "nearest": NEAREST,
    "anomaly": ANOMALY,
}

# Perceptually even and safe for colour-blind readers; dark is small, bright is large.
MAP = "inferno"
FEATURE = "viridis"
