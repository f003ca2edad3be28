"""Every equation of the paper as plain loops and sets: the definitions that the fast functions must equal.

Nested lists in, nested lists out. A feature map φ_j is `phi_j[c][h][w]`; a vector is a list of numbers; a set of
vectors is a list. Nothing here is fast and nothing is clever: read it beside the formula.
"""

from itertools import combinations
from math import dist, exp, floor


def neighbourhood(h, w, p, shape=None):
    """Eq. (1): N_p^(h,w), all cells (a, b) at most ⌊p/2⌋ rows and columns away from (h, w)."""
    r = p // 2
    cells = [(a, b) for a in range(h - r, h + r + 1) for b in range(w - r, w + r + 1)]
    if shape is None:
        return cells
    return [(a, b) for a, b in cells if 0 <= a < shape[0] and 0 <= b < shape[1]]


def feature_vector(phi_j, h, w):
    """§3.1: φ_j(h, w), one number from each channel."""
    return [channel[h][w] for channel in phi_j]


def aggregate(phi_j, h, w, p):
    """Eq. (2): f_agg, the mean over N_p, each channel by itself. A cell past the border counts as 0."""
    inside = neighbourhood(h, w, p, shape=(len(phi_j[0]), len(phi_j[0][0])))
    return [sum(channel[a][b] for a, b in inside) / len(neighbourhood(h, w, p)) for channel in phi_j]


def patch_set(phi_j, p, s):
    """Eq. (3): P_{s,p}(φ_j), one vector for each location whose h and w are multiples of s."""
    height, width = len(phi_j[0]), len(phi_j[0][0])
    return [aggregate(phi_j, h, w, p) for h in range(height) for w in range(width) if h % s == 0 and w % s == 0]


def rescale(channel, shape):
    """Bilinear rescaling of one channel: every new cell's centre is looked up between the old centres."""
    old_height, old_width = len(channel), len(channel[0])
    rows = []
    for h in range(shape[0]):
        y = min(max((h + 0.5) * old_height / shape[0] - 0.5, 0), old_height - 1)
        a, below = floor(y), min(floor(y) + 1, old_height - 1)
        row = []
        for w in range(shape[1]):
            x = min(max((w + 0.5) * old_width / shape[1] - 0.5, 0), old_width - 1)
            b, right = floor(x), min(floor(x) + 1, old_width - 1)
            upper = channel[a][b] * (1 - (x - b)) + channel[a][right] * (x - b)
            lower = channel[below][b] * (1 - (x - b)) + channel[below][right] * (x - b)
            row.append(upper * (1 - (y - a)) + lower * (y - a))
        rows.append(row)
    return rows


def merge(fine, coarse):
    """§3.1: rescale the coarser level to the size of the finer one, then join the channels of both."""
    return fine + [rescale(channel, (len(fine[0]), len(fine[0][0]))) for channel in coarse]


def memory_bank(patch_sets):
    """Eq. (4): M, the patches of all nominal images together."""
    return [vector for patches in patch_sets for vector in patches]


def covering_radius(M, M_C):
    """The objective of eq. (5): the distance from the worst covered entry of M to its nearest entry of M_C."""
    return max(min(dist(m, n) for n in M_C) for m in M)


def optimal_coreset(M, size):
    """Eq. (5), by trying every subset: feasible only for a handful of entries."""
    return min(combinations(M, size), key=lambda M_C: covering_radius(M, M_C))


def greedy_coreset(M, size, start):
    """Algorithm 1: from row `start`, add the row farthest from all rows chosen so far, `size - 1` times."""
    chosen = [start]
    while len(chosen) < size:
        rest = [i for i in range(len(M)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: min(dist(M[i], M[j]) for j in chosen)))
    return chosen


def nearest_entry(m_test, M):
    """The inner argmin of eq. (6): m*, the entry of M nearest to one test patch."""
    return min(M, key=lambda m: dist(m_test, m))


def max_patch_score(P_test, M):
    """Eq. (6): the test patch farthest from M, its nearest entry m*, and their distance s*."""
    m_test = max(P_test, key=lambda m_test: dist(m_test, nearest_entry(m_test, M)))
    m_star = nearest_entry(m_test, M)
    return m_test, m_star, dist(m_test, m_star)


def image_score(P_test, M, b):
    """Eq. (7): s = w · s*, with N_b the b entries of M nearest to m*. For b = 1, w would be 0: s = s* instead."""
    m_test, m_star, s_star = max_patch_score(P_test, M)
    if b == 1:
        return s_star
    N_b = sorted(M, key=lambda m: dist(m_star, m))[:b]
    return (1 - exp(s_star) / sum(exp(dist(m_test, m)) for m in N_b)) * s_star
