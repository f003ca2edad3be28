"""The explorer of the coreset in JupyterLab."""

import torch
from playwright.sync_api import expect

from patchcore_edu import covering_radius, greedy_coreset, memory_bank, patch_set, random_projection
from patchcore_edu.explorers.machinery.photographs import photographs


def test_coreset(open_explorer):
    shown = open_explorer("Coreset", "l=20")
    phi = photographs("brick", "train").phi
    M = memory_bank(patch_set({j: phi[j][:4] for j in (2, 3)})).vectors
    chosen = greedy_coreset(M, size=25, seed=0)
    expect(shown.formula).to_contain_text(f"{covering_radius(M, chosen[:20]):.1f} (greedy)")
    shown.slider("l, rows kept").press("ArrowRight")
    expect(shown.formula).to_contain_text(f"{covering_radius(M, chosen):.1f} (greedy)")
    expect(shown.number("last row chosen by greedy")).to_contain_text(f"row {int(chosen[-1]):,}:")
    shown.slider("Start").press("ArrowRight")
    random = torch.randperm(len(M), generator=torch.Generator().manual_seed(1))[:25]
    expect(shown.formula).to_contain_text(f"{covering_radius(M, random):.1f} (random)")
    for _ in range(4):
        shown.slider("ψ").press("ArrowRight")
    guided = greedy_coreset(random_projection(M, 2, seed=1), size=25, seed=1)
    expect(shown.caption).to_contain_text("guided by ψ(2)")
    expect(shown.formula).to_contain_text(f"{covering_radius(M, guided):.1f} (greedy)")
    shown.assert_right()
