"""One colour per role, the same in formula, text, comment, picture and explorer.

The six hues are those of Okabe and Ito, which stay apart for colour-blind readers.
"""

QUERY = "#D55E00"  # vermilion: the patch that is asked about, at (h, w)
NEIGHBOURHOOD = "#E69F00"  # orange: N_p, the cells around it
BANK = "#56B4E9"  # sky blue: M, the patches of good images
CORESET = "#0072B2"  # blue: M_C, the members that are kept
NEAREST = "#009E73"  # green: m*, the member nearest to the query
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
