"""The explorers of the bank, the coreset and the score in JupyterLab, moved by keys and the pointer."""

import torch
from playwright.sync_api import expect

from patchcore_edu import covering_radius, greedy_coreset, memory_bank, patch_set, random_projection
from patchcore_edu.explorers.photographs import model, photographs


def test_memory_bank(open_explorer):
    shown = open_explorer("MemoryBank")
    expect(shown.formula).to_contain_text("32 · 28 · 28 = 25,088")
    shown.slider("s, stride").press("ArrowRight")
    expect(shown.formula).to_contain_text("32 · 14 · 14 = 6,272")
    shown.slider("n, photographs").press("ArrowLeft")
    expect(shown.formula).to_contain_text("31 · 14 · 14 = 6,076")
    member = shown.number("member")
    before = member.text_content()
    shown.point(0.7, 0.3)
    expect(member).not_to_have_text(before)
    assert member.text_content() == shown.notebook.run_code("print(explorer.picture().numbers['member'])")
    assert shown.notebook.run_code("print(explorer.state.h, explorer.state.w)") == "14 34"
    shown.slider("Levels").press("ArrowRight")
    expect(shown.caption).to_contain_text("d = 472 numbers")
    for _ in range(6):
        shown.slider("p,").press("ArrowRight")
    expect(shown.caption).to_contain_text("Nothing to show: p was 9")
    shown.assert_right()


def test_coreset(open_explorer):
    shown = open_explorer("Coreset", "l=20")
    phi = photographs("brick", "train").phi
    M = memory_bank(patch_set({j: phi[j][:4] for j in (2, 3)}, border="zero")).vectors
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


def test_anomaly_score(open_explorer):
    shown = open_explorer("AnomalyScore")
    fitted, tests = model("brick")

    def expect_nearest(i: int, h: int, w: int) -> None:
        row = int(tests.nearest[i, h, w])
        where = ", ".join(map(str, fitted.bank.position[row].tolist()))
        text = f"row {row:,} of MC: good photograph {int(fitted.bank.image[row])}, (h, w) = ({where})"
        expect(shown.number("m*")).to_have_text(text)

    expect_nearest(16, 12, 9)
    expect(shown.caption).to_contain_text(f"its score is s = {tests.score[16]:.2f}")
    shown.canvas.press("ArrowDown")
    expect_nearest(16, 13, 9)
    shown.point(0.99, 0.01)
    expect_nearest(16, 0, 27)
    shown.slider("b,").press("ArrowLeft")
    expect(shown.formula).to_contain_text("… 1 more")
    shown.slider("Photograph").press("ArrowRight")
    expect_nearest(17, 0, 27)
    shown.assert_right()
