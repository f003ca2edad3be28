"""Defects drawn on a photograph of a texture: a scratch, a blob, a smear. They were designed by eye."""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree


def visibly_changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return where two grey pictures (H, W) in [0, 1] differ by more than 3 % of full scale, as (H, W) bool.

    The difference is averaged over each pixel's close surroundings; holes are filled.
    """
    mask = ndimage.binary_fill_holes(ndimage.gaussian_filter(np.abs(after - before), 1.0) > 0.03)
    regions, _ = ndimage.label(mask)
    # Single pixels beside the defect are chance; PRO would count each as a separate defect.
    return mask & (np.bincount(regions.ravel()) >= 12)[regions]


def _soft(signed_distance: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(signed_distance / 1.5))


def _scratch(texture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size, t = len(texture), np.linspace(0, 1, 4 * len(texture))
    angle, length, bend = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.45) * size, rng.uniform(-0.6, 0.6)
    wobble = 0.15 * np.sin(2 * np.pi * (rng.uniform(1, 2) * t + rng.uniform()))
    heading = angle + bend * (2 * t - 1) + wobble
    path = np.stack([np.sin(heading), np.cos(heading)], 1).cumsum(0) * length / len(t)
    path += rng.uniform(0.25, 0.75, 2) * size - path.mean(0)
    pixels, reach = np.stack(np.indices(texture.shape), -1), 3
    # Pixels farther away get an infinite distance and the number after the last as their nearest.
    distance, nearest = np.full(texture.shape, np.inf), np.full(texture.shape, len(path))
    around = ((path.min(0) - reach < pixels) & (pixels < path.max(0) + reach)).all(-1)
    distance[around], nearest[around] = cKDTree(path).query(pixels[around], distance_upper_bound=reach)
    pressure = np.append(np.sin(np.pi * t) ** 0.4 * rng.uniform(0.8, 1.0), 0)[nearest]
    opacity = np.clip(rng.uniform(0.8, 1.4) * pressure + 0.5 - distance, 0, 1) * pressure
    return texture + 0.85 * opacity * (rng.choice([0.05, 0.95]) - texture)


def _blob(texture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size, (row, column) = len(texture), np.indices(texture.shape)
    y, x = rng.uniform(0.25, 0.75, 2) * size
    angle, radius = np.arctan2(row - y, column - x), rng.uniform(0.05, 0.09) * size
    waves = [rng.normal(0, 0.3 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 8)]
    inside = _soft(np.hypot(row - y, column - x) - radius * (1 + sum(waves)))
    local = ndimage.gaussian_filter(texture, radius / 2)
    contrast, shift = rng.uniform(0.5, 0.7), rng.choice([-1, 1]) * rng.uniform(0.1, 0.16)
    return texture + inside * (local + contrast * (texture - local) + shift - texture)


def _smear(texture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size, (row, column) = len(texture), np.indices(texture.shape)
    y, x = rng.uniform(0.25, 0.75, 2) * size
    angle = rng.uniform(0, np.pi)
    long, short = rng.uniform(0.10, 0.16) * size, rng.uniform(0.05, 0.08) * size
    along = (row - y) * np.sin(angle) + (column - x) * np.cos(angle)
    across = (column - x) * np.sin(angle) - (row - y) * np.cos(angle)
    inside = _soft((np.hypot(along / long, across / short) - 1) * short)
    steps = np.linspace(-0.6 * long, 0.6 * long, round(1.2 * long))
    blurred = _mean_shifted(texture, np.outer(steps, [np.sin(angle), np.cos(angle)]))
    return texture + inside * (blurred - texture)


def _mean_shifted(texture: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """The mean of a picture shifted by each (rows, columns), its surroundings mirrored, as one product of spectra."""
    reach = int(np.abs(shifts).max()) + 2
    wide = np.pad(texture, reach, mode="symmetric")
    kernel, whole, part = np.zeros(wide.shape), np.floor(shifts).astype(int), shifts % 1
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):  # between pixels, the four around count by how near they are
        share = np.where(corner, part, 1 - part).prod(1) / len(shifts)
        np.add.at(kernel, tuple((whole + corner + reach).T), share)
    blurred = np.fft.irfft2(np.fft.rfft2(wide) * np.fft.rfft2(kernel), wide.shape)
    return blurred[2 * reach :, 2 * reach :]


#: Each takes a grey crop (H, W) in [0, 1] and a random generator, and returns the changed crop.
DRAW = {"scratch": _scratch, "blob": _blob, "smear": _smear}
