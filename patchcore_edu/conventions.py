"""Every choice that the paper leaves open, and what each published code does."""

from dataclasses import dataclass

from patchcore_edu.aggregation import BORDERS, LONGEST, POOLINGS
from patchcore_edu.anomaly_map import EDGES, UPSAMPLINGS, WIDEST
from patchcore_edu.coreset import PROJECTIONS, STARTS
from patchcore_edu.patch_set import MERGES, STRIDE_GRIDS
from patchcore_edu.validation import one_of, real_number, whole_number


@dataclass(frozen=True)
class Conventions:
    """One value for each choice that the paper does not fix. `dataclasses.replace` changes single fields.

    Attributes:
        border, pooling: see `aggregate` (eq. 2).
        merge, stride_on: see `patch_set` (eq. 3).
        dim: d, the length of a patch vector for pooling="flattened" or merge="pool".
        merged_dim: the length after merge="pool", if it differs from `dim`; see `patch_set`.
        projection: ψ, see `random_projection` (Algorithm 1); with None, the full vectors guide the choice.
        projection_dim: d*; None takes the Johnson–Lindenstrauss bound for the number of rows.
        start: see `greedy_coreset` (Algorithm 1).
        squared: whether patch distances are squared, ‖m^test − m‖², in the map and in s*.
        reweighting: whether eq. (7) is applied to the image score.
        upsampling, sigma, edge: see `anomaly_map` (§3.3).

    Example:
        >>> from dataclasses import replace
        >>> replace(CONVENTIONS["paper"], upsampling="nearest").upsampling
        'nearest'
    """

    border: str = "zero"  # the default of `aggregate` and `patch_set`, too; tests/test_conventions.py compares them
    pooling: str = "spatial"
    merge: str = "concatenate"
    stride_on: str = "merged"
    dim: int = 1024
    merged_dim: int | None = None
    projection: str | None = "gaussian"
    projection_dim: int | None = 128
    start: str = "random"
    squared: bool = False
    reweighting: bool = True
    upsampling: str = "bilinear"
    sigma: float = 4.0
    edge: str = "reflect"

    def __post_init__(self):
        one_of("border", self.border, BORDERS)
        one_of("pooling", self.pooling, POOLINGS)
        one_of("merge", self.merge, MERGES)
        one_of("stride_on", self.stride_on, STRIDE_GRIDS)
        whole_number("dim", self.dim, at_most=LONGEST)
        if self.merged_dim is not None:
            whole_number("merged_dim", self.merged_dim, at_most=LONGEST)
        one_of("projection", self.projection, (None, *PROJECTIONS))
        if self.projection_dim is not None:
            whole_number("projection_dim", self.projection_dim, at_most=LONGEST)
        one_of("start", self.start, STARTS)
        one_of("squared", self.squared, (False, True))
        one_of("reweighting", self.reweighting, (False, True))
        one_of("upsampling", self.upsampling, UPSAMPLINGS)
        real_number("sigma", self.sigma, 0, WIDEST)
        one_of("edge", self.edge, EDGES)


CONVENTIONS = {
    # What the paper says; where it is silent, our choice (the defaults above).
    "paper": Conventions(),
    # The authors' code, amazon-science/patchcore-inspection.
    "official": Conventions(
        pooling="flattened",
        merge="pool",
        stride_on="level",
        projection="linear",
        start="mean of ten",
        squared=True,
        reweighting=False,
    ),
    # anomalib 2.7.0. It differs only with a bank of a single row: its w is then a softmax over the images of the batch
    # (1 − 1/n for n equal ones), and ours is 1.
    "anomalib": Conventions(projection="sparse", projection_dim=None, upsampling="nearest", edge="mirror"),
}


def as_conventions(choice: "str | Conventions") -> Conventions:
    """The record with this name; a record is returned as it is.

    >>> as_conventions("anomalib").border
    'zero'
    >>> as_conventions("mine")
    Traceback (most recent call last):
    ValueError: conventions was 'mine'; it must be one of 'paper', 'official', 'anomalib'
    """
    if isinstance(choice, Conventions):
        return choice
    return CONVENTIONS[one_of("conventions", choice, CONVENTIONS)]
