"""PatchCore from end to end: the equations in order, and no mathematics of its own."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from tqdm.auto import tqdm

from patchcore_edu.anomaly_map import anomaly_map
from patchcore_edu.anomaly_score import image_score, patch_neighbours
from patchcore_edu.backbone import Backbone, as_backbone, check_levels
from patchcore_edu.conventions import Conventions, as_conventions
from patchcore_edu.coreset import greedy_coreset, random_projection
from patchcore_edu.feature_map import feature_maps
from patchcore_edu.memory_bank import MemoryBank, memory_bank
from patchcore_edu.neighbourhood import LARGEST
from patchcore_edu.patch_set import patch_set
from patchcore_edu.threads import in_parts, without_barriers
from patchcore_edu.validation import FLOATS, holds_numbers, one_of, real_number, real_tensor, shown, whole_number

BATCH = 16
VERSION = 1
OWN = ("p", "s", "coreset_ratio", "b", "seed")
OF_PATCHES = ("backbone", "weights", "levels", "p", "s", "border", "pooling", "merge", "dim", "merged_dim", "stride_on")
"""The settings that determine a bank's vectors: if one differs, distances to the bank mean nothing."""


@dataclass(frozen=True)
class Prediction:
    """What PatchCore says about n images.

    Attributes:
        score: (n,), s of eq. (7), in the unit of the features: not a probability, without an upper limit.
        anomaly_map: (n, H, W), §3.3, in the unit of the features.
        patch_distance: (n, h', w'), every patch's distance to its nearest entry m* of the memory bank.
        nearest: (n, h', w'), the row of m* in `PatchCore.bank`.
    """

    score: torch.Tensor
    anomaly_map: torch.Tensor
    patch_distance: torch.Tensor
    nearest: torch.Tensor

    @classmethod
    def joined(cls, parts: Iterable["Prediction"]) -> "Prediction":
        """The predictions for several sets of images as one, in their order.

        >>> one = Prediction(torch.ones(1), torch.ones(1, 2, 2), torch.ones(1, 1, 1), torch.zeros(1, 1, 1))
        >>> Prediction.joined([one, one]).anomaly_map.shape
        torch.Size([2, 2, 2])
        """
        parts = list(parts) if isinstance(parts, Iterable) else []
        if not parts or not all(isinstance(part, Prediction) for part in parts):
            raise ValueError(f"parts was {shown(parts)}; it must hold at least one Prediction, and nothing else")
        return cls(*(torch.cat(field) for field in zip(*(vars(part).values() for part in parts), strict=True)))


class PatchCore:
    """Remember patches of good images; call an image anomalous if one of its patches resembles none of them.

    Args:
        backbone: φ, from `load_backbone`, or its name.
        levels: j, the levels of φ that are merged.
        p: the size of the neighbourhood N_p, in cells.
        s: the stride of the patch set, in cells.
        coreset_ratio: the share of M that is kept, in (0, 1]; 1 keeps all.
        b: the number of neighbours in eq. (7); 1 switches the re-weighting off.
        conventions: "paper", "official", "anomalib", or a `Conventions` record.
        seed: of ψ and of the greedy start. The same seed gives the same bank, on any number of threads; on another
            machine, the last digits of the network's output may differ, and with them a row.

    Attributes:
        bank: the memory bank M_C after `fit`. A saved one can be assigned instead: `model.bank = MemoryBank.load(…)`;
            one that was made with other settings of φ, p, s or the conventions is refused by `predict`.
        rows_before: N, the number of rows of M before the coreset was taken; 0 if unknown.

    Raises:
        ValueError: for an unknown backbone, level or convention, p, s or b below 1, a ratio outside (0, 1].

    Example:
        >>> from patchcore_edu.datasets import PhotoTextures
        >>> photographs = PhotoTextures("brick", split="train")
        >>> model = PatchCore("efficientnet_lite0").fit([photographs[i].image[None] for i in (0, 1)])
        >>> model.rows_before, len(model.bank)
        (1568, 156)
        >>> model.predict(photographs[2].image[None]).anomaly_map.shape
        torch.Size([1, 224, 224])

    Source: all of §3.
    """

    def __init__(
        self,
        backbone: Backbone | str = "efficientnet_lite0",
        levels: Iterable[int] = (2, 3),
        p: int = 3,
        s: int = 1,
        coreset_ratio: float = 0.1,
        b: int = 9,
        conventions: Conventions | str = "paper",
        seed: int = 0,
    ):
        self.backbone = as_backbone(backbone)
        self.levels = check_levels(levels)
        self.p = whole_number("p", p)
        self.s = whole_number("s", s, at_most=LARGEST)
        self.coreset_ratio = real_number("coreset_ratio", coreset_ratio, 0, 1, open_below=True)
        self.b = whole_number("b", b)
        self.conventions = as_conventions(conventions)
        self.seed = whole_number("seed", seed, at_least=0)
        self.bank: MemoryBank | None = None
        self.rows_before = 0

    @without_barriers()
    def fit(self, images: torch.Tensor | Iterable) -> "PatchCore":
        """Eqs. (1) to (5): fill the memory bank with the patches of good images, and keep a coreset of it.

        There are no gradients and no epochs: every image is looked at once.

        Args:
            images: good images only: (n, 3, H, W) in [0, 1]; or a data set of `Sample`s; or an iterable of such
                batches. Only one batch is in memory at a time.

        Returns:
            The model itself.

        Raises:
            ValueError: if there is no image, or one is not as described.
        """
        return self.fit_patches(self.patches(batch) for batch in _batches(images, "fit"))

    def fit_patches(self, patches: torch.Tensor | Iterable[torch.Tensor]) -> "PatchCore":
        """Eqs. (4) and (5): like `fit`, but from patch sets (n, h', w', d): keep φ, and change what comes after it."""
        bank = memory_bank(patches, self.s)
        kept = bank if self.coreset_ratio == 1 else bank.take(self._coreset(bank.vectors))
        self.bank, self.rows_before = replace(kept, settings=self.settings()), len(bank)
        return self

    def settings(self) -> dict[str, object]:
        """Everything that determines what this model does, in plain values: `save` writes it beside the bank."""
        phi = {"backbone": self.backbone.name, "weights": self.backbone.checksum, "levels": list(self.levels)}
        return phi | {name: getattr(self, name) for name in OWN} | asdict(self.conventions) | {"version": VERSION}

    def save(self, path: str | Path) -> None:
        """Write the bank and all settings to exactly this path, as plain arrays (.npz, no pickle).

        The network is not in the file: its name and a checksum of its weights are.

        Raises:
            ValueError: before `fit`, or with a bank that was made with other settings.
            OSError: if it cannot be written; an older file stays as it was.
        """
        self._check_bank("save")
        known = self.rows_before if self.rows_before >= len(self.bank) else 0  # another bank may have been assigned
        replace(self.bank, settings=self.settings() | {"rows_before": known}).save(path)

    @classmethod
    def load(cls, path: str | Path, backbone: Backbone | None = None) -> "PatchCore":
        """A model as it was saved: it predicts the same.

        Args:
            path: what `save` wrote.
            backbone: needed if the network's weights are not the pretrained ones.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged, holds only a bank, or has a setting that this version does not know; or if
                `backbone` is not the network that the bank was made with.
        """
        bank = MemoryBank.load(path)
        if bank.settings is None or "rows_before" not in bank.settings:
            raise ValueError(
                f"path was {str(path)!r}, which holds a bank and not a whole model: make a PatchCore with the settings "
                "of the bank, and assign `model.bank = MemoryBank.load(path)`"
            )
        made = dict(bank.settings)
        names = {"backbone", "weights", "levels", "version", "rows_before", *OWN, *Conventions.__dataclass_fields__}
        one_of("version", made.get("version"), [VERSION])
        if wrong := sorted(names ^ set(made)):
            raise ValueError(f"path was {str(path)!r}, whose settings are missing or unknown: {shown(wrong)}")
        conventions = Conventions(**{name: made[name] for name in Conventions.__dataclass_fields__})
        own = {name: made[name] for name in ("levels", *OWN)}
        model = cls(made["backbone"] if backbone is None else backbone, conventions=conventions, **own)
        if made["rows_before"] != 0:
            whole_number("rows_before", made["rows_before"], at_least=len(bank))
        model.bank, model.rows_before = bank, int(made["rows_before"])
        model._check_bank("load")
        return model

    def _check_bank(self, doing: str) -> None:
        if self.bank is None:
            raise ValueError(f"bank was None; call fit before {doing}")
        if not isinstance(self.bank, MemoryBank):
            raise ValueError(f"bank was of type {type(self.bank).__name__}; it must be a MemoryBank")
        mine, made = self.settings(), self.bank.settings or {}
        if mine["pooling"] != "flattened" and mine["merge"] != "pool":
            mine["dim"] = made.get("dim")  # without these two it is not used
        for name in OF_PATCHES:
            if made.get(name, mine[name]) != mine[name]:
                raise ValueError(
                    f"bank was made with {name} = {shown(made[name])}, but this model has {shown(mine[name])}"
                )

    @without_barriers()
    def predict(self, images: torch.Tensor | Iterable) -> Prediction:
        """Eqs. (6) and (7) and the anomaly map, for every image.

        Args:
            images: as for `fit`, good or defective.

        Returns:
            A `Prediction` of n scores and maps.

        Raises:
            ValueError: before `fit`, without an image, or with a bank of another dimension.
        """
        return Prediction.joined(
            self.predict_patches(self.patches(batch), batch.shape[2:]) for batch in _batches(images, "predict")
        )

    def predict_patches(self, patches: torch.Tensor, size: int | tuple[int, int]) -> Prediction:
        """Eqs. (6) and (7) and the map: like `predict`, but from patch sets (n, h', w', d); `size` is (H, W)."""
        self._check_bank("predict")
        if not isinstance(patches, torch.Tensor) or patches.ndim != 4:
            real_tensor("patches", patches, "(n, h', w', d)")
        c, vectors = self.conventions, self.bank.vectors
        if patches.shape[3] != vectors.shape[1]:
            raise ValueError(
                f"bank held vectors of {vectors.shape[1]} dimensions; this model's patches have {patches.shape[3]}"
            )
        distance, nearest = patch_neighbours(patches, vectors)
        if c.squared:
            distance = distance.square()
        score = image_score(patches, vectors, self.b if c.reweighting else 1, (distance, nearest))
        return Prediction(score, anomaly_map(distance, size, c.sigma, c.upsampling, c.edge), distance, nearest)

    def patches(self, images: torch.Tensor) -> torch.Tensor:
        """Eqs. (1) to (3): P_{s,p} of one batch of images, (n, h', w', d)."""
        return self.patches_of(feature_maps(images, self.backbone, self.levels))

    def patches_of(self, phi: Mapping[int, torch.Tensor]) -> torch.Tensor:
        """Eqs. (1) to (3): like `patches`, but from feature maps {j: (n, c_j, h_j, w_j)}; unused levels are ignored."""
        if not isinstance(phi, Mapping) or not set(self.levels) <= set(phi):
            raise ValueError(f"phi was {shown(phi)}; it must map the levels {self.levels} to tensors (n, c, h, w)")
        c, used = self.conventions, {j: phi[j] for j in self.levels}
        for maps in used.values():
            if not isinstance(maps, torch.Tensor) or maps.is_nested or maps.ndim != 4 or not len(maps):
                real_tensor("phi", maps, "(n, c, h, w)")
        n = {len(maps) for maps in used.values()}
        if len(n) > 1:
            raise ValueError(f"phi held {[len(maps) for maps in used.values()]} images; every level must have as many")

        def of_image(i: int) -> torch.Tensor:
            one = {j: maps[i : i + 1] for j, maps in used.items()}
            return patch_set(one, self.p, self.s, c.border, c.pooling, c.merge, c.dim, c.stride_on, c.merged_dim)[0]

        def fill(i: int) -> None:
            patches[i] = of_image(i)

        first = of_image(0)
        patches = first.new_empty(*n, *first.shape)  # joined later, the parts would be in memory twice
        patches[0] = first
        in_parts(fill, range(1, *n))
        return patches

    def _coreset(self, vectors: torch.Tensor) -> torch.Tensor:
        c = self.conventions
        if c.projection is not None:
            vectors = random_projection(vectors, c.projection_dim, self.seed, c.projection)
        return greedy_coreset(vectors, self.coreset_ratio, seed=self.seed, start=c.start)


def _batches(images: torch.Tensor | Iterable, doing: str) -> Iterator[torch.Tensor]:
    """Batches (n, 3, H, W) from a tensor, a data set of samples, or an iterable of batches, in their order.

    However they arrive, batches have `BATCH` images: work for all threads, and no more than that in memory. `patches`
    checks what they hold.
    """
    if isinstance(images, torch.Tensor) and holds_numbers(images):
        if images.ndim != 4:
            raise ValueError(f"images had shape {tuple(images.shape)}; it must be (n, 3, H, W)")
        images = images.split(BATCH)
    elif isinstance(images, torch.Tensor):
        images = [images]
    try:
        iter(images)
    except TypeError:
        raise ValueError(
            f"images was of type {type(images).__name__}; it must be a tensor, a data set or batches"
        ) from None
    total = len(images) if hasattr(images, "__len__") else None
    waiting, shape = [], None
    for item in tqdm(images, desc=doing, total=total, delay=1, leave=False):
        batch = getattr(item, "image", item)
        right = isinstance(batch, torch.Tensor) and batch.dtype in FLOATS and holds_numbers(batch)
        if not right or batch.ndim not in (3, 4):
            real_tensor("images", batch, "(n, 3, H, W)")
        batch = batch if batch.ndim == 4 else batch[None]
        if len(batch) == 0:
            continue
        shape = shape or batch.shape[1:]
        if batch.shape[1:] != shape:
            raise ValueError(
                f"images held images of shapes {tuple(shape)} and {tuple(batch.shape[1:])}; all must have one shape"
            )
        if not waiting and len(batch) == BATCH:  # as from a tensor: nothing is to be copied
            yield batch
            continue
        for image in batch:
            waiting.append(image)
            if len(waiting) == BATCH:
                yield torch.stack(waiting)
                waiting = []
    if waiting:
        yield torch.stack(waiting)
    if shape is None:
        raise ValueError(f"images held no image; {doing} needs at least one")
