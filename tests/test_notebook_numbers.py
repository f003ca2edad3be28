"""The numbers in the notebooks' prose and folded answers are those that the package gives."""

import json
import math
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from notebook_runs import printed
from torch.nn.functional import pad

from patchcore_edu import (
    CONVENTIONS,
    PatchCore,
    aggregate,
    auroc,
    covering_radius,
    greedy_coreset,
    image_score,
    max_patch_score,
    memory_bank,
    merge_levels,
    neighbourhood,
    patch_neighbours,
    patch_set,
)
from patchcore_edu.backbone import receptive_field
from patchcore_edu.coreset import _coreset_size
from patchcore_edu.explorers import AnomalyMap, Coreset
from patchcore_edu.explorers.machinery.photographs import backbone as explorers_backbone
from patchcore_edu.explorers.machinery.photographs import model as explorers_model
from patchcore_edu.explorers.machinery.photographs import photographs

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
MAP = 28  # pixels; where only scores are tested, the size of the map does not matter, so it is small


def said(name: str, *texts: str) -> None:
    """Check that the notebook's Markdown contains each text."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    for text in texts:
        assert text in prose, text


@lru_cache
def filled(category: str, n: int, **settings) -> PatchCore:
    model = PatchCore(explorers_backbone(), **settings)
    good = photographs(category, "train")
    return model.fit_patches(model.patches_of({j: maps[:n] for j, maps in good.phi.items()}))


def fitted(category: str = "brick", n: int = 32, conventions=CONVENTIONS["paper"], **settings) -> PatchCore:
    """A model fitted to the first n good crops. Models that differ only after the memory bank share one bank."""
    model = PatchCore(explorers_backbone(), conventions=conventions, **settings)
    same = filled(category, n, conventions=replace(conventions, squared=False, reweighting=True), **settings)
    model.bank, model.rows_before = same.bank, same.rows_before
    return model


def anomalous(category: str = "brick") -> torch.Tensor:
    return torch.tensor([sample.anomalous for sample in photographs(category, "test").dataset])


@pytest.fixture(scope="module")
def phi(backbone):
    return backbone(torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)), (1, 2, 3, 4))


def test_00_tour(phi):
    patches = patch_set({2: phi[2], 3: phi[3]})
    said("00_tour", f"$40 + 112 = {patches.shape[3]}$", f"it is {patches.shape[1] * patches.shape[2]} patches")
    found = auroc(explorers_model()[1].score, anomalous())
    said("00_tour", f"it is {found:.3f}: {round(384 * found)} of 24 · 16 = 384 pairs")


def test_01_feature_map(backbone, phi):
    side = phi[2].shape[2]
    said("01_feature_map", f"224 / {backbone.strides[2]} = {side}", f"{side} × {side} = {side**2} cells")
    sees = {j: receptive_field(backbone, j, 3, 3)[2] for j in (2, 4)}
    said(
        "01_feature_map", f"{sees[2]} pixels. Cells are 8 pixels apart", f"{sees[4]} pixels across: more than the whole"
    )
    dataset, of_test = photographs("brick", "test").dataset, photographs("brick", "test").phi[2]
    i = next(i for i, sample in enumerate(dataset) if sample.defect == "scratch")
    difference = (of_test[i, :, :, 1:] - of_test[i, :, :, :-1]).norm(dim=0)
    place = divmod(int(difference.argmax()), 27)
    said("01_feature_map", f"At {place}, with a distance of {difference.max():.1f}. It is on the scratch.")
    assert dataset[i].mask[place[0] * 8 : place[0] * 8 + 8, place[1] * 8 : place[1] * 8 + 16].any()


def test_02_neighbourhood():
    inside, corner = len(neighbourhood(9, 9, 5, (28, 28))), len(neighbourhood(0, 0, 5, (28, 28)))
    said(
        "02_neighbourhood", f"{inside} inside. {corner} in a corner", f"{len(neighbourhood(9, 9, 2, (28, 28)))}, not 4"
    )
    incomplete = sum(len(neighbourhood(h, w, 3, (28, 28))) < 9 for h in range(28) for w in range(28))
    said("02_neighbourhood", f"{incomplete} places. The other 26 × 26 = {784 - incomplete} are complete")


def test_03_aggregation(phi):
    assert aggregate(phi[2], 3).shape == aggregate(phi[2], 5).shape == (1, 40, 28, 28)
    said("03_aggregation", "40, for every p.", "28 × 28. Every place", "it would be 26 × 26")
    assert aggregate(phi[2], 3, border="valid").shape == (1, 40, 26, 26)
    by_hand = torch.tensor([[[[0.0, 4, 8], [0, 0, 0], [6, 0, 0]], [[1, 1, 1], [1, 1, 1], [1, 1, 10]]]])
    said("03_aggregation", "18 / 9 = **2** | 18 / 9 = **2**", "(4 / 9, 4 / 9)")
    assert aggregate(by_hand, 3)[0, :, 1, 1].tolist() == [2, 2]
    assert aggregate(by_hand, 3)[0, :, 0, 0].tolist() == pytest.approx([4 / 9, 4 / 9])
    one = torch.zeros(1, 8, 5, 5)
    one[0, 5] = 1
    flat = aggregate(one, 3, border="zero", pooling="flattened", dim=12)[0, :, 2, 2]
    said("03_aggregation", f"Number 7 is {flat[7]:.1f}", f"Number 8 is {flat[8]:.0f}.")
    assert flat.nonzero().flatten().tolist() == [7, 8]
    assert torch.equal(aggregate(one, 3, border="zero", pooling="flattened", dim=8), aggregate(one, 3))


def test_04_patch_set(phi):
    both = {2: phi[2], 3: phi[3]}
    third = patch_set(both, s=3)
    said(
        "04_patch_set",
        f"so 10 × 10 = {third.shape[1] * third.shape[2]} patches",
        f"{third.shape[3]} numbers, for every",
    )
    assert patch_set(both, p=5).shape == patch_set(both, p=3).shape
    coarse = merge_levels([torch.zeros(1, 1, 1, 4), torch.tensor([[[[0.0, 8.0]]]])])[0, 1, 0]
    said("04_patch_set", ", ".join(f"{value:g}" for value in coarse.tolist()))

    tests = photographs("brick", "test")
    masks = torch.stack([sample.mask[::3, ::3] for sample in tests.dataset])
    measured = []
    for s in (1, 4):
        model = fitted(s=s, coreset_ratio=1254 / (32 * (28 // s) ** 2))
        prediction = model.predict_patches(model.patches_of(tests.phi), 224)
        measured.append((auroc(prediction.score, anomalous()), auroc(prediction.anomaly_map[:, ::3, ::3], masks)))
    # Of 4 × 4 cells of 8 pixels, the first is kept: its centre is 12 pixels above and left of the centre of all.
    shift = 4 * (4 - 1)
    back = pad(prediction.anomaly_map[:, None], (0, shift, 0, shift), mode="replicate")[:, 0, shift::3, shift::3]
    said("04_patch_set", f"{shift} pixels away. With the map moved back, pixel AUROC is {auroc(back, masks):.2f}")
    falls = [f"from {dense:.2f} to {sparse:.2f}" for dense, sparse in zip(*measured, strict=True)]
    said("04_patch_set", f"Image AUROC falls {falls[0]}, pixel AUROC {falls[1]}.")

    good, queries = (patch_set({j: photographs("brick", split).phi[j] for j in (2, 3)}) for split in ("train", "test"))
    vectors = good.flatten(0, 2)[::4]
    squares = (queries - vectors[patch_neighbours(queries, vectors)[1]]).square()
    said("04_patch_set", f"{squares[..., 40:].sum() / squares.sum():.0%}".replace("%", " %") + " of the squared")


def test_05_memory_bank():
    for s, rows in ((1, 25_088), (2, 6_272)):
        side = math.ceil(28 / s)
        bank = memory_bank(torch.zeros(32, side, side, 152), s)
        said("05_memory_bank", f"{len(bank):,}", f"{bank.vectors.numel() * 4 / 2**20:.1f} MiB")
        assert len(bank) == rows
    entries, tests = (patch_set({j: photographs("brick", split).phi[j] for j in (2, 3)}) for split in ("train", "test"))
    inside = entries[:, 1:-1, 1:-1]
    far = [float((part - tests[16, 12, 9]).norm(dim=3).min()) for part in (inside, entries)]
    said("05_memory_bank", "the scratch is {:.1f} from its nearest entry instead of {:.1f}.".format(*far))


def test_06_coreset(executed):
    def radii(**state):
        return re.findall(r"[\d.]+(?= \()", Coreset(**state).picture().formula)

    greedy, random, _ = radii(l=60)
    most, most_random, _ = radii(l=313)
    said("06_coreset", f"⌊{0.01 * 25_088:.2f}⌋ = {_coreset_size(25_088, 0.01, None)}")
    said("06_coreset", f"{greedy}, against {random} at random", f"from {greedy} at 60 rows to {most} at 313")
    two, projected = radii(l=313, psi=2)[0], radii(l=313, psi=128)[0]
    said("06_coreset", f"{two}, against {most_random} at random. With ψ to 128 dimensions it is {projected}.")

    vectors = patch_set({j: photographs("brick", "train").phi[j] for j in (2, 3)}).flatten(0, 2)
    picks = [greedy_coreset(vectors, size=250, seed=seed) for seed in range(3)]
    [radius] = {f"{covering_radius(vectors, chosen):.1f}" for chosen in picks}
    said("06_coreset", f"The radius of 250 picks is {radius} for each of the three seeds")
    several = [rows[:5].tolist() for rows in picks]
    assert sum(14029 in rows for rows in several) == 2 and len({row for rows in several for row in rows}) == 14
    said("06_coreset", "One odd patch, row 14029, comes up twice.")
    text = printed(executed("06_coreset"))
    [everything], greedy, random = (
        sorted(
            round(384 * float(found)) for found in re.search(rf"^{kept} +image AUROC (.*)", text, re.M)[1].split(", ")
        )
        for kept in ("all rows", "greedy, 1 %", "random, 1 %")
    )
    said("06_coreset", f"All rows put {everything} of the 384 pairs in the right order.")
    said(
        "06_coreset", f"{greedy[0]} to {greedy[-1]} of them correctly, the random 1 % only {random[0]} to {random[-1]}."
    )


def test_07_anomaly_score():
    s = float(image_score(torch.tensor([[[[1.0], [6.0]]]]), torch.tensor([[0.0], [2.0], [3.0]]), b=2))
    said("07_anomaly_score", rf"\approx {s:.2f}", rf"\approx {s / 3:.3f}", rf"e^5 \approx {math.exp(5):.0f}")
    model, prediction = explorers_model()
    s_star, _ = max_patch_score(prediction.patch_distance)
    patches = model.patches_of(photographs("brick", "test").phi)
    found = prediction.patch_distance, prediction.nearest
    s = {b: image_score(patches, model.bank.vectors, b, found) for b in (2, 9, 50)}
    assert (s[2] / s_star).min() == pytest.approx(3 / 5, abs=0.02)
    said("07_anomaly_score", "w takes away up to two fifths", f"from {s[9][16]:.2f} to {s[50][16]:.2f}")
    said("07_anomaly_score", f"$w$ is {s[9][16] / s_star[16]:.3f} already")


def test_08_anomaly_map():
    highest = float(explorers_model()[1].score[:8].max())
    said("08_anomaly_map", f"The threshold starts at {AnomalyMap().state.threshold}", f"just above {highest:.1f}")


def test_09_patchcore():
    across = 2 * (6 // 2) + 1
    said(
        "09_patchcore",
        f"{len(neighbourhood(9, 9, 6, (28, 28)))}: ⌊6/2⌋ = 3, so seven cells",
        f"{14**2 * 8:,}: a quarter",
    )
    assert across == 7
    said("09_patchcore", f"{1 - (224 / 256) ** 2:.0%}".replace("%", " %"))
    tests = photographs("brick", "test")
    by_seed = []
    for seed in (0, 1):
        model = fitted(coreset_ratio=0.01, seed=seed)
        by_seed.append(model.predict_patches(model.patches_of(tests.phi)[:3], MAP).score)
    first, second = by_seed
    assert first.argsort().tolist() == [0, 1, 2] and second.argsort().tolist() == [0, 2, 1]
    said("09_patchcore", f"here by up to {(first - second).abs().max():.0f}, and the second and the third photograph")


def mean(values):
    return sum(values) / len(values)


@lru_cache
def scores(category, n=32, **settings):
    """Scores of a texture's test crops, from a model fitted to its first n good crops."""
    model = fitted(category, n, **settings)
    return model.predict_patches(model.patches_of(photographs(category, "test").phi), MAP).score


def of_texture(category, test_kinds=("good", "scratch", "blob", "smear"), **settings):
    """Image AUROC of a texture over its test crops of these kinds."""
    chosen = torch.tensor([sample.defect in test_kinds for sample in photographs(category, "test").dataset])
    return auroc(scores(category, **settings)[chosen], anomalous(category)[chosen])


def of_brick(seeds=range(10), **change):
    """Image AUROC with one choice changed, as 10_paper_and_codes measures it."""
    conventions = replace(CONVENTIONS["paper"], **change)
    return [of_texture("brick", n=16, coreset_ratio=0.01, seed=seed, conventions=conventions) for seed in seeds]


@pytest.fixture
def of_choices(executed):
    """The table in 10_paper_and_codes, for image AUROC and for PRO: {choice: mean}, and the choices marked as apart."""
    rows = [line for line in printed(executed("10_paper_and_codes")).splitlines() if " PRO " in line]

    def column(label):
        found = [re.match(rf"(.+?)  +.*{label} (\S+) \(.+? to .+?\)(\*?)", row).groups() for row in rows]
        return {name: mean for name, mean, _ in found}, {name for name, _, mark in found if mark}

    return column("image AUROC"), column("PRO")


def test_10_paper_and_codes(executed, of_choices, phi):
    (image, of_image), (region, of_region) = of_choices
    clip, s_2, pooled = "border: cells that exist", "s = 2, each level (official)", "pooling: one row (official)"
    valid, merged = "border: valid (ind_knn_ad)", "s = 2, on the merged grid"
    assert float(image["paper"]) == pytest.approx(mean(of_brick()), abs=5e-4)
    assert of_image == {clip, s_2, pooled, "eq. (7) of hcw-00"} and of_region == {clip, valid, s_2, merged}
    said(
        "10_paper_and_codes",
        f"from {image['paper']} to {image['eq. (7) of hcw-00']}, where",
        f"none of the codes does, {image[clip]}; a stride of 2 on each level, {image[s_2]}; and",
        f"one row, {image[pooled]}.",
        f"existing cells only, {region[clip]} instead of {region['paper']}; leaving",
        f"out incomplete places, {region[valid]}; a stride",
        f"on each level, {region[s_2]}, or on the merged grid, {region[merged]}.",
        f'anomalib has {image["whole record: anomalib"]}. That of "official", {image["whole record: official"]},',
        f'"ψ: none", with a mean of {image["ψ: none"]},',
    )
    said("10_paper_and_codes", "(19 + 11) / 10 = **3**")
    steps = re.findall(r"^(?:squared|reweighting) +image AUROC (\S+)$", printed(executed("10_paper_and_codes")), re.M)
    official = {f: getattr(CONVENTIONS["official"], f) for f in ("squared", "reweighting", "projection", "start")}
    without_start = {field: value for field, value in official.items() if field != "start"}
    walk = [*map(float, steps[:2]), mean(of_brick(**without_start)), mean(of_brick(**official))]
    said("10_paper_and_codes", f"between {min(walk):.3f} and {max(walk):.3f}")
    side = aggregate(phi[2], 2, pooling="flattened", dim=40).shape[2]
    said("10_paper_and_codes", f"{side} × {side} there. {aggregate(phi[2], 2).shape[2]} × 28 here")


def test_the_border_rule_is_told_apart_and_psi_and_start_are_not(of_choices):
    (image, of_image), (_, of_region) = of_choices
    others = [name for name in image if name.startswith(("ψ", "start", "squared", "no eq. (7)"))]
    assert len(others) == 8 and not (of_image | of_region) & set(others) and "border: cells that exist" in of_image
    # Three seeds would have suggested a difference that ten do not show.
    none, paper = of_brick(range(3), projection=None), of_brick(range(3))
    assert max(paper) < min(none)
    said(
        "10_paper_and_codes",
        f'gives {min(none):.3f} to {max(none):.3f} and "paper" {min(paper):.3f} to {max(paper):.3f}',
    )
    said("10_paper_and_codes", f"once in {math.comb(6, 3) // 2} trials. (Of the {math.comb(6, 3)} ways")
    said("10_paper_and_codes", f"once in {math.comb(20, 10) // 2:,}.")


def test_11_your_photographs():
    grass = {kind: of_texture("grass", ("good", kind), coreset_ratio=0.05) for kind in ("scratch", "smear")}
    more = [of_texture("grass", n=n, coreset_ratio=0.05) for n in (8, 32)]
    said(
        "11_your_photographs",
        f"good crops is {grass['scratch']:.2f}: guessing",
        f"A smear reaches {grass['smear']:.2f}",
        "{:.2f} with 8 crops, {:.2f} with 32".format(*more),
        f"{of_texture('brick', n=1, coreset_ratio=0.05):.2f}. One crop gives {28**2} patches",
        f"by four: {3000 * 14**2 * 1024 * 4 / 1e9:.1f} GB",
        f"which makes {3000 * 28**2 * 152 * 4 / 1e9:.1f} GB",
        f"= {209 * 784 * 1024 * 4 / 1e6:.0f} MB. With 7,000 photographs: {7000 * 784 * 1024 * 4 / 1e9:.0f} GB",
    )
