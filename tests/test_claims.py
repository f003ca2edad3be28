"""Each causal sentence in the notebooks has a row in `claims.csv` and a test that tries to refute it.

A difference counts only if the ranges over seeds do not overlap; if they overlap, the two "cannot be told apart".
"""

import csv
import json
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from notebook_runs import printed
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from patchcore_edu import (
    CONVENTIONS,
    PatchCore,
    aggregate,
    anomaly_map,
    auroc,
    covering_radius,
    feature_maps,
    greedy_coreset,
    image_score,
    max_patch_score,
    merge_levels,
    nearest_neighbours,
    neighbourhood,
    patch_neighbours,
    patch_set,
    random_projection,
    reweighting_factor,
)
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.explorers.machinery.photographs import backbone, model, photographs

TESTS = Path(__file__).parent
with (TESTS / "claims.csv").open(encoding="utf-8", newline="") as file:
    CLAIMS = list(csv.DictReader(file))
TEXTURES = ("brick", "grass", "gravel")
KINDS = ("scratch", "blob", "smear")
MAP = 28  # pixels; where only scores are tested, the size of the map does not matter, so it is small
CAUSAL = re.compile(
    r"\b(because|therefore|that is why|this is why|helps?|hurts?|makes?)\b"
    r"|\bso\b(?! (far|that|on\b|much|many|large|small|often|close|high|like|unlike|long))",
    re.IGNORECASE,
)


@lru_cache
def cells(notebook: str) -> list[dict]:
    [path] = (TESTS.parent / "notebooks").glob(f"{notebook}_*.ipynb")
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@lru_cache
def prose(notebook: str) -> str:
    return " ".join("\n".join("".join(c["source"]) for c in cells(notebook) if c["cell_type"] == "markdown").split())


def sentences(text: str) -> list[str]:
    """Return the sentences of Markdown, without tables, headings and tags; "eq." does not end a sentence."""
    text = re.sub(r"^(\||#).*$|<[^>]+>", "", text, flags=re.MULTILINE)
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n|\n(?=-)", text))
    return [s for part in paragraphs for s in re.split(r"(?<=[.!?:])(?<!eq\.) (?=[A-Z*$(“\"`])", part)]


def causal(notebook: str) -> list[str]:
    """Return the sentences that give a reason; questions are left out."""
    text = "\n\n".join("".join(c["source"]) for c in cells(notebook) if c["cell_type"] == "markdown")
    return [s for s in sentences(text) if CAUSAL.search(s) and "?" not in s]


def test_causal_sentences_are_found():
    text = (
        "Averaging helps.\n\n| so |\n\n# Because\n\nThe map shrinks, so eq. (2) is left. Does it help? So far so large."
    )
    assert [s for s in sentences(text) if CAUSAL.search(s) and "?" not in s] == [
        "Averaging helps.",
        "The map shrinks, so eq. (2) is left.",
    ]


@pytest.mark.parametrize("notebook", [f"{n:02}" for n in range(12)])
def test_every_causal_sentence_has_a_row(notebook):
    claims = [claim["claim"] for claim in CLAIMS if claim["notebook"] == notebook]
    assert [s for s in causal(notebook) if not any(claim in s or s in claim for claim in claims)] == []


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim['notebook']} {claim['claim'][:40]}")
def test_each_claim_is_in_its_notebook_and_is_tested(claim):
    assert claim["claim"] in prose(claim["notebook"])
    assert claim["would refute it"]
    file, _, name = claim["tested in"].partition("::")
    if file.endswith(".ipynb"):  # an assertion in a cell of the notebook, which the suite runs
        [source] = ["".join(cell["source"]) for cell in cells(file[:2]) if cell["id"] == name]
        assert "assert " in source
    else:
        assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8")


@lru_cache
def patches(category: str = "brick", split: str = "train", p: int = 3) -> torch.Tensor:
    phi = photographs(category, split).phi
    return patch_set({j: phi[j] for j in (2, 3)}, p)


@lru_cache
def labels(category: str = "brick") -> torch.Tensor:
    return torch.tensor([sample.anomalous for sample in photographs(category, "test").dataset])


def of_kind(kind: str, category: str = "brick") -> torch.Tensor:
    return torch.tensor([sample.defect == kind for sample in photographs(category, "test").dataset])


def defective(category: str = "brick") -> torch.Tensor:
    """The cells of level 2 that a defect touches, as (n, h, w)."""
    return torch.stack([s.mask for s in photographs(category, "test").dataset]).view(40, 28, 8, 28, 8).any(4).any(2)


def largest(queries: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return patch_neighbours(queries, vectors)[0].amax((1, 2))


def of_kinds(scores, kind: str, category: str = "brick") -> list[float]:
    """Image AUROC of one kind of defect against the good crops of a texture, for each of `scores`."""
    chosen = of_kind("good", category) | of_kind(kind, category)
    return [auroc(s[chosen], labels(category)[chosen]) for s in scores]


@lru_cache
def of_setting(category: str, size: int = 500, levels=(2, 3), p=3, s=1, border="zero") -> list[torch.Tensor]:
    """Return s* of each test image, for each of three banks of `size` rows."""
    maps = {split: {j: photographs(category, split).phi[j] for j in levels} for split in ("train", "test")}
    entries, queries = (patch_set(maps[split], p, s, border=border) for split in ("train", "test"))
    vectors = entries.flatten(0, 2)
    picks = [greedy_coreset(random_projection(vectors, seed=seed), size=size, seed=seed) for seed in range(3)]
    return [largest(queries, vectors[rows]) for rows in picks]


def of_all(category: str, **settings) -> list[float]:
    return [auroc(s, labels(category)) for s in of_setting(category, **settings)]


def span(values) -> tuple[float, float]:
    values = list(values)
    return min(values), max(values)


def apart(one, other) -> bool:
    (a, b), (c, d) = span(one), span(other)
    return b < c or d < a


def test_psi_raises_the_radius_but_ten_seeds_show_no_loss_of_image_auroc():
    rows = {"without ψ": [], "ψ to 128": []}
    for category in TEXTURES:
        vectors = patches(category).flatten(0, 2)
        found = {}
        for name in rows:
            guides = [vectors if name == "without ψ" else random_projection(vectors, seed=seed) for seed in range(10)]
            picks = [greedy_coreset(guide, ratio=0.01, seed=seed) for seed, guide in enumerate(guides)]
            scores = [image_score(patches(category, "test"), vectors[chosen]) for chosen in picks]
            found[name] = [auroc(score, labels(category)) for score in scores]
            rows[name].append("{:.3f}–{:.3f}".format(*span(found[name])))
            if category == "brick":
                radius = [covering_radius(vectors, chosen) for chosen in picks]
                found[name, "radius"] = radius
        assert not apart(found["without ψ"], found["ψ to 128"])
        if category == "brick":
            assert apart(found["without ψ", "radius"], found["ψ to 128", "radius"])
            radii = {name: "{:.1f}–{:.1f}".format(*span(found[name, "radius"])) for name in rows}
    for name, cells in rows.items():
        assert f"| {name} | {' | '.join(cells)} | {radii[name]} |" in prose("06")


def test_greedy_lowers_the_largest_distance_and_not_the_mean():
    vectors = patches().flatten(0, 2)
    greedy = [nearest_neighbours(vectors, vectors[greedy_coreset(vectors, size=1000, seed=s)])[0] for s in range(3)]
    drawn = [torch.randperm(len(vectors), generator=torch.Generator().manual_seed(s))[:1000] for s in range(3)]
    random = [nearest_neighbours(vectors, vectors[rows])[0] for rows in drawn]
    assert max(float(d.max()) for d in greedy) < min(float(d.max()) for d in random)
    assert min(float(d.mean()) for d in greedy) > max(float(d.mean()) for d in random)


def test_greedy_keeps_a_rare_good_patch_and_chance_does_not():
    good = patches()
    vectors, row = good.flatten(0, 2), 14029
    own = good[row // 784][None]
    reached = {"greedy": [], "random": []}
    for seed in range(3):
        reached["greedy"].append(float(largest(own, vectors[greedy_coreset(vectors, size=250, seed=seed)])))
        rows = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[:250]
        assert row not in rows
        reached["random"].append(float(largest(own, vectors[rows])))
    assert max(reached["greedy"]) < min(reached["random"])


def test_greedy_covers_most_rare_patches_better_than_chance():
    vectors = patches().flatten(0, 2)
    some = vectors[::10]
    rare = some[nearest_neighbours(some, vectors, k=2)[0][:, 1].topk(50).indices]  # [:, 0] is the row itself
    for seed in range(3):
        greedy = vectors[greedy_coreset(vectors, size=250, seed=seed)]
        random = vectors[torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[:250]]
        nearer = nearest_neighbours(rare, greedy)[0] < nearest_neighbours(rare, random)[0]
        assert 25 < nearer.sum() < 50


def test_w_is_smaller_where_the_bank_is_denser():
    queries, vectors = patches(split="test"), patches().flatten(0, 2)
    smallest = []
    for rows in (greedy_coreset(vectors, ratio=0.01), greedy_coreset(vectors, ratio=0.1), slice(None)):
        found = patch_neighbours(queries, vectors[rows])
        w = image_score(queries, vectors[rows], 9, found) / max_patch_score(found[0])[0]
        assert (w < 1).all() and (w >= 1 - 1 / 9).all()
        smallest.append(float(w.min()))
    assert smallest[0] > smallest[1] > smallest[2]


def test_eq_7_reverses_few_pairs_on_brick(executed):
    text = printed(executed("07_anomaly_score"))
    turned, mixed = (
        list(map(int, re.search(rf"{pairs}: (.*)", text)[1].split(", ")))
        for pairs in ("pairs reversed, of 780", "pairs of a good and a defective image")
    )
    assert len(turned) == len(mixed) == 10 and any(turned) and max(turned) <= 5
    assert max(mixed) == 1  # of 384 pairs, so the image AUROC changes by at most 0.003
    before = max_patch_score(model()[1].patch_distance)[0]
    assert auroc(before.square(), labels()) == auroc(before, labels())  # the square keeps the order


@lru_cache
def by_p(p: int) -> tuple[list[torch.Tensor], dict[str, float], dict[str, float]]:
    """From three banks of 500 rows: s* of each image, and its median for each kind, over all and over inner cells."""
    vectors = patches(p=p).flatten(0, 2)
    picks = [greedy_coreset(random_projection(vectors, seed=seed), size=500, seed=seed) for seed in range(3)]
    distance = [patch_neighbours(patches(split="test", p=p), vectors[rows])[0] for rows in picks]
    medians = [
        {
            kind: sum(
                float(d[:, rings : 28 - rings, rings : 28 - rings].amax((1, 2))[of_kind(kind)].median())
                for d in distance
            )
            / 3
            for kind in ("good", *KINDS)
        }
        for rings in (0, 2)
    ]
    return [d.amax((1, 2)) for d in distance], *medians


def test_a_little_averaging_helps_and_much_hurts_each_kind():
    found = {(kind, p): of_kinds(by_p(p)[0], kind) for kind in KINDS for p in (1, 3, 9)}
    for kind in KINDS:
        assert min(found[kind, 3]) > max(found[kind, 9])
        if kind != "scratch":
            assert min(found[kind, 3]) > max(found[kind, 1])
    assert min(found["scratch", 1]) > 0.98
    assert min(found["scratch", 9]) > max(found["smear", 9])  # the scratch is not found worst


def test_what_p_does_to_good_crops_and_to_each_kind_of_defect():
    def shrink(p, q, which):
        return {kind: by_p(p)[which][kind] / by_p(q)[which][kind] for kind in ("good", *KINDS)}

    few, inside, many = shrink(1, 3, 1), shrink(1, 3, 2), shrink(3, 9, 1)
    assert all(few["good"] > few[kind] and many["good"] < many[kind] for kind in KINDS)
    assert max(KINDS, key=many.get) == "scratch"
    median = {p: by_p(p)[1] for p in (1, 3)}
    lead = {kind: median[3][kind] / median[3]["good"] for kind in KINDS}
    assert f"{median[1]['good']:.1f} to {median[3]['good']:.1f}, a factor of {few['good']:.1f}" in prose("09")
    assert f"by {lead['scratch'] - 1:.0%}, a smear by only {lead['smear'] - 1:.0%}".replace("%", " %") in prose("09")
    assert f"a factor of {inside['good']:.1f}, as much as scratches" in prose("09")
    assert f"more than blobs ({inside['blob']:.1f}) and smears ({inside['smear']:.1f})" in prose("09")
    assert f"{inside['scratch']:.1f}" == f"{inside['good']:.1f}"


def test_what_brick_shows_of_p_and_of_the_border_does_not_hold_everywhere():
    assert max(of_all("grass", p=5)) < min(of_all("grass", p=3))
    for category, p in (("gravel", 9), ("gravel", 5), ("brick", 5)):
        assert not apart(of_all(category, p=p), of_all(category, p=3)), (category, p)
    for category in ("grass", "gravel"):
        found = {
            (kind, p): of_kinds(of_setting(category, p=p), kind, category) for kind in ("blob", "smear") for p in (1, 3)
        }
        assert min(found["smear", 3]) > max(found["smear", 1]) and not apart(found["blob", 3], found["blob", 1])
    assert not apart(*(of_kinds(of_setting("grass", p=p), "scratch", "grass") for p in (1, 3)))

    assert min(of_all("gravel")) > max(of_all("gravel", border="clip"))
    assert not apart(of_all("grass"), of_all("grass", border="clip"))
    assert min(of_all("grass", border="valid")) > max(of_all("grass") + of_all("grass", border="clip"))


def test_levels_1_and_2_find_more_scratches_only_on_gravel():
    found = {
        (category, levels): of_kinds(of_setting(category, size=250, levels=levels), "scratch", category)
        for category in ("grass", "gravel")
        for levels in ((1, 2), (2, 3))
    }
    assert min(found["gravel", (1, 2)]) > max(found["gravel", (2, 3)])
    assert not apart(found["grass", (1, 2)], found["grass", (2, 3)])


def test_on_brick_only_stride_4_is_apart_from_stride_1():
    found = {s: of_all("brick", size=1254, s=s) for s in (1, 2, 3, 4)}
    assert max(found[4]) < min(found[1])
    assert not apart(found[2], found[1]) and not apart(found[3], found[1])


@pytest.mark.parametrize("draw", [1, 2])
def test_other_crops_and_defects_do_not_make_the_scratch_the_worst(draw):
    good, test = (PhotoTextures("brick", split, seed=draw) for split in ("train", "test"))
    entries, queries = (patch_set(feature_maps(torch.stack([s.image for s in d]), backbone()), 9) for d in (good, test))
    vectors, kinds = entries.flatten(0, 2), [sample.defect for sample in test]
    assert kinds == [sample.defect for sample in photographs("brick", "test").dataset]
    picks = [greedy_coreset(random_projection(vectors, seed=seed), ratio=0.01, seed=seed) for seed in range(3)]
    scores = [largest(queries, vectors[rows]) for rows in picks]
    found = {kind: of_kinds(scores, kind) for kind in KINDS}
    if draw == 1:
        assert min(found["scratch"]) > max(found["blob"])
    else:
        assert not apart(found["scratch"], found["blob"]) and min(found["smear"]) > max(found["scratch"])


def test_averaging_shrinks_all_distances():
    for p, q in ((1, 3), (3, 9)):
        assert all(by_p(p)[1][kind] > by_p(q)[1][kind] for kind in ("good", *KINDS))


def test_neighbouring_cells_of_a_defect_deviate_more_alike_than_good_ones():
    good, alike = cosines("brick")
    assert all(alike[kind] > good + 0.05 for kind in KINDS)
    good, alike = cosines("grass")
    assert alike["scratch"] < good + 0.02


def cosines(category: str) -> tuple[float, dict[str, float]]:
    """At p = 1, the mean cosine between how neighbouring cells differ from their nearest entries.

    Returns that of good images, and that on each kind of defect.
    """
    queries, vectors = patches(category, "test", p=1), patches(category, p=1).flatten(0, 2)[::2]
    deviation = queries - vectors[patch_neighbours(queries, vectors)[1]]
    deviation = deviation / deviation.norm(dim=3, keepdim=True)
    beside, below = ((deviation * deviation.roll(-1, axis)).sum(3)[:, :-1, :-1] for axis in (2, 1))
    cosine, defect = (beside + below) / 2, defective(category)[:, :-1, :-1]
    of = {kind: of_kind(kind, category) for kind in ("good", *KINDS)}
    return float(cosine[of["good"]].mean()), {kind: float(cosine[of[kind]][defect[of[kind]]].mean()) for kind in KINDS}


def test_most_cells_of_a_large_neighbourhood_around_a_defect_are_good():
    share = {p: aggregate(defective()[:, None].float(), p)[16:].amax((1, 2, 3)) for p in (3, 9)}
    assert (share[9] < 0.5).all() and (share[3] > 0.5).all()


def test_the_network_s_padding_shows_at_the_rim():
    """Where the photograph goes on past the rim of the map, the patches at the rim differ little from those inside."""
    ring = torch.ones(28, 28, dtype=torch.bool)
    ring[1:-1, 1:-1] = False

    def excess(good, test):
        distance, _ = patch_neighbours(test, good.flatten(0, 2))
        return float(distance[:, ring].mean() / distance[:, ~ring].mean())

    whole = [torch.stack([s.image for s in PhotoTextures("brick", split, size=256)])[:8] for split in ("train", "test")]
    phi = [feature_maps(images, backbone()) for images in whole]
    context = [patch_set(maps, 1)[:, 2:-2, 2:-2] for maps in phi]
    assert excess(patches(p=1)[:8], patches(split="test", p=1)[:8]) > 1.2
    assert excess(*context) < 1.13


@lru_cache
def of_border(border: str) -> tuple[PatchCore, float]:
    """Return a model with this border rule, and the highest score that it gives a good crop."""
    conventions = replace(CONVENTIONS["paper"], border=border)
    fitted = PatchCore(backbone(), coreset_ratio=0.02, conventions=conventions)
    fitted.fit_patches(fitted.patches_of(photographs("brick", "train").phi))
    good = {j: maps[:16] for j, maps in photographs("brick", "test").phi.items()}
    return fitted, float(fitted.predict_patches(fitted.patches_of(good), MAP).score.max())


def lined(images: torch.Tensor, row: int, grey: float = 0.95) -> torch.Tensor:
    """Draw a line of 4 × 24 pixels on each photograph."""
    images = images.clone()
    images[:, :, row : row + 4, 100:124] = grey
    return images


def test_zeros_find_a_light_line_inside_and_seldom_at_the_rim_and_no_other_rule_does_better():
    good = photographs("brick", "test").images[:16]
    rows = {"rim": 0, "centre": 110}
    light = {where: feature_maps(lined(good, row), backbone()) for where, row in rows.items()}
    dark = feature_maps(lined(good, 0, grey=0.05), backbone())

    def alarms(border, phi):
        fitted, highest = of_border(border)
        return int((fitted.predict_patches(fitted.patches_of(phi), MAP).score > highest).sum())

    zero, *others = ({w: alarms(border, phi) for w, phi in light.items()} for border in ("zero", "clip", "valid"))
    assert zero["centre"] >= 13 and zero["rim"] <= 5
    assert all(other["rim"] <= zero["rim"] and other["centre"] < zero["centre"] for other in others)
    assert alarms("zero", dark) >= 12


def test_the_border_rule_changes_the_length_of_the_ring_s_vectors_and_which_are_nearest():
    ring = torch.ones(28, 28, dtype=torch.bool)
    ring[1:-1, 1:-1] = False
    share = float(ring.float().mean())
    assert f"holds {share:.0%} of all".replace("%", " %") in prose("05")
    maps = {split: {j: photographs("brick", split).phi[j] for j in (2, 3)} for split in ("train", "test")}
    for border in ("zero", "clip"):
        entries, queries = (patch_set(maps[split], border=border) for split in ("train", "test"))
        length = entries.norm(dim=3).mean(0)
        distance, nearest = patch_neighbours(queries[:16], entries[::2].flatten(0, 2))
        on_ring = float(ring.flatten()[nearest[:, ~ring] % 784].float().mean())
        excess = float(distance[:, ring].mean() / distance[:, ~ring].mean())
        if border == "zero":
            assert length[ring].mean() < length[~ring].mean() and on_ring < share / 2 and excess < 1
        else:
            assert length[ring].mean() > length[~ring].mean() and on_ring < 0.05 and excess > 1


def test_more_context_finds_a_line_that_a_crop_puts_at_the_rim_or_cuts_off():
    good, test = (
        torch.stack([s.image for s in PhotoTextures("brick", split, size=256) if not s.anomalous])[:16]
        for split in ("train", "test")
    )

    def alarms(cut, row):
        fitted = PatchCore(backbone(), coreset_ratio=0.05).fit(good[:, :, cut, cut])
        normal, line = (fitted.predict(x[:, :, cut, cut]).score for x in (test, lined(test, row)))
        return int((line > normal.max()).sum())

    assert alarms(slice(None), 16) == 16
    assert alarms(slice(16, 240), 16) < 16


def test_level_4_finds_fewer_smears_and_draws_coarser_maps():
    masks = torch.stack([sample.mask[::3, ::3] for sample in photographs("brick", "test").dataset])
    smear, pixel = {}, {}
    for levels in ((4,), (2, 3)):
        scores, maps = [], []
        for seed in range(3):
            fitted = PatchCore(backbone(), levels=levels, coreset_ratio=0.01, seed=seed)
            fitted.fit_patches(fitted.patches_of(photographs("brick", "train").phi))
            prediction = fitted.predict_patches(fitted.patches_of(photographs("brick", "test").phi), 224)
            scores.append(prediction.score)
            maps.append(prediction.anomaly_map[:, ::3, ::3])
        smear[levels], pixel[levels] = of_kinds(scores, "smear"), [auroc(m, masks) for m in maps]
    assert max(smear[4,]) < min(smear[2, 3]) and max(pixel[4,]) < min(pixel[2, 3])


def test_the_tour_s_channel_stands_out_more_after_averaging():
    good, test = (photographs("brick", split).phi[2] for split in ("train", "test"))
    channel = int(test[16, :, 12, 9].abs().argmax())
    lead = [
        float(t[16, channel, 12, 9] / g[:, channel].max())
        for g, t in ((good, test), (aggregate(good, 3), aggregate(test, 3)))
    ]
    assert lead[1] > lead[0]


def test_an_even_p_gives_an_odd_square():
    for p in range(1, 10):
        across = 2 * (p // 2) + 1
        assert len(neighbourhood(9, 9, p, (19, 19))) == across**2


def test_a_constant_factor_leaves_the_picks_alone():
    vectors = patches().flatten(0, 2)[::8]
    wide = vectors.repeat(1, 10)
    assert (wide[1] - wide[0]).norm() == pytest.approx(10**0.5 * float((vectors[1] - vectors[0]).norm()), rel=1e-4)
    assert torch.equal(greedy_coreset(vectors, size=100, seed=0), greedy_coreset(wide, size=100, seed=0))


def test_w_is_one_minus_a_softmax_entry_of_at_most_1_over_b_and_a_match_in_a_crowd_is_discounted_more():
    crowd = 0.35 * torch.randn(30, 2, generator=torch.Generator().manual_seed(3))
    bank = torch.cat([crowd, torch.tensor([[5.0, 0.0]])])
    test = torch.stack([crowd[crowd[:, 1].argmax()] + torch.tensor([0.0, 1.0]), torch.tensor([5.0, 1.0])])
    star = nearest_neighbours(test, bank)[1][:, 0]
    entries = bank[nearest_neighbours(bank[star], bank, k=9)[1]]
    share = torch.softmax((entries - test[:, None]).norm(dim=2), 1)
    w = reweighting_factor(test, star, bank, b=9)
    torch.testing.assert_close(w, 1 - share[:, 0])
    assert (share[:, 0] <= 1 / 9).all() and (share[:, 0] == share.amin(1)).all() and w[0] < w[1]
    # With an entry that is not the nearest, w can leave that range.
    far = int((bank - test[0]).norm(dim=1).argmax())
    assert reweighting_factor(test[:1], torch.tensor([far]), bank, b=2) < 1 / 2


def test_adaptive_pooling_to_a_larger_map_copies_the_nearest_cell():
    coarse = torch.randn(1, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    assert torch.equal(adaptive_avg_pool2d(coarse, 28), interpolate(coarse, (28, 28)))


def test_small_exponents_let_w_differ_from_image_to_image():
    queries, vectors = patches(split="test"), patches().flatten(0, 2)[::10]
    distance, nearest = patch_neighbours(queries, vectors)
    s_star, worst = max_patch_score(distance)
    m_test = queries.flatten(1, 2)[torch.arange(40), worst]
    m_star = vectors[nearest.flatten(1)[torch.arange(40), worst]]
    near = vectors[nearest_neighbours(m_star, vectors, k=3)[1][:, 1:]]
    root = m_test.shape[1] ** 0.5
    other = 1 - (s_star / root).exp() / ((near - m_test[:, None]).norm(dim=2) / root).exp().sum(1)
    ours = image_score(queries, vectors, 9, (distance, nearest)) / s_star
    assert other.std() > 5 * ours.std()


def test_scores_of_official_are_far_larger():
    largest = {}
    for name in ("paper", "official"):
        fitted = PatchCore(backbone(), coreset_ratio=0.01, conventions=name)
        good, test = ({j: m[:8] for j, m in photographs("brick", s).phi.items()} for s in ("train", "test"))
        largest[name] = (
            fitted.fit_patches(fitted.patches_of(good)).predict_patches(fitted.patches_of(test), MAP).score.max()
        )
    assert largest["official"] > 20 * largest["paper"]


def test_another_merge_or_bank_may_change_the_order_of_images():
    maps = {split: {j: photographs("brick", split).phi[j] for j in (2, 3)} for split in ("train", "test")}

    def order(merge=merge_levels, ratio=0.05):
        of = {}
        for split, phi in maps.items():
            phi = {j: phi[j][:12] if split == "train" else phi[j] for j in phi}
            of[split] = merge([aggregate(phi[j], 3) for j in (2, 3)]).permute(0, 2, 3, 1)
        vectors = of["train"].flatten(0, 2)
        rows = greedy_coreset(random_projection(vectors), ratio=ratio) if ratio < 1 else slice(None)
        return largest(of["test"], vectors[rows]).argsort().tolist()

    copied = order(lambda levels: torch.cat([levels[0], interpolate(levels[1], (28, 28))], 1))
    assert order() != copied and order() != order(ratio=1)


def test_a_scale_of_its_own_makes_every_good_map_bright():
    maps = model("brick")[1].anomaly_map
    low, high = maps[:8].median(), maps.max()
    own = [(m - m.min()) / (m.max() - m.min()) for m in maps[:16]]
    assert all((m > 0.8).any() for m in own)
    assert ((maps[8:16].amax((1, 2)) - low) / (high - low)).max() < 0.5


def test_smoothing_lowers_the_maximum():
    distance = model("brick")[1].patch_distance
    assert (anomaly_map(distance, 224).amax((1, 2)) < anomaly_map(distance, 224, sigma=0).amax((1, 2))).all()


def test_overlapping_crops_give_too_low_a_threshold():
    good = patches()
    fitted = PatchCore(backbone()).fit_patches(good[:24])
    new = fitted.predict_patches(patches(split="test"), MAP).score
    overlapping = float(fitted.predict_patches(good[24:], MAP).score.max())
    assert overlapping < new[:8].max() and (new[8:16] > overlapping).all()


def test_a_defect_in_the_bank_scores_0():
    scratched = patches(split="test")[of_kind("scratch")]
    fitted = PatchCore(backbone(), coreset_ratio=1).fit_patches(scratched)
    assert fitted.predict_patches(scratched, MAP).score.max() < 1e-3


def test_a_centre_crop_hides_a_line_at_the_rim():
    plain = PhotoTextures("brick", "test", size=256)[0].image
    lined = plain.clone()
    lined[:, 4:8, 40:200] = 0.95
    without, whole = model("brick")[0].predict(torch.stack([plain, lined])).score
    assert whole > without + 5
    assert torch.equal(lined[:, 16:240, 16:240], plain[:, 16:240, 16:240])
