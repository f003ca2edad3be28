"""One photograph and what is known about it."""

from typing import NamedTuple

import torch

SPLITS = ("train", "test")
GOOD, UNKNOWN = "good", "unknown"


class Sample(NamedTuple):
    """One photograph and what is known about it. A DataLoader turns a list of them into a Sample of batches."""

    image: torch.Tensor  #: (3, H, W), float32, in [0, 1]
    anomalous: bool
    mask: torch.Tensor  #: (H, W), bool; True where the defect is
    defect: str  #: the defect's name, "good" if there is none, "unknown" if not given
    source: str  #: where it came from: a file's path, or a photograph's name with rows and columns
    labelled: bool = True  #: False if it is not known whether it is good; `anomalous` then means nothing
