"""The README: its ten lines of code print what it says, and its results are those of the package."""

import re
from pathlib import Path

import pytest
import torch

from patchcore_edu import auroc, pro
from patchcore_edu.datasets import PhotoTextures
from patchcore_edu.explorers.machinery.photographs import model, photographs

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_the_ten_lines_print_what_the_readme_says(capsys):
    code, printed = re.search(r"```python\n(.*?)```\n\n((?:    [^\n]*\n)+)", README, flags=re.DOTALL).groups()
    assert len([line for line in code.splitlines() if line]) <= 10
    exec(code, {})
    assert capsys.readouterr().out.split() == printed.split()


@pytest.mark.parametrize("category", PhotoTextures.categories)
def test_the_results_are_those_of_the_package(category):
    """From the explorers' cache, which test_cache.py compares with `PatchCore().fit(train).predict(test)`."""
    prediction, test = model(category)[1], photographs(category, "test").dataset
    masks, anomalous = torch.stack([sample.mask for sample in test]), [sample.anomalous for sample in test]
    measured = (
        auroc(prediction.score, anomalous),
        auroc(prediction.anomaly_map, masks),
        pro(prediction.anomaly_map, masks),
    )
    written = re.search(rf"^\| {category} \|(.*)\|$", README, flags=re.MULTILINE)[1].split("|")
    assert [float(figure) for figure in written] == pytest.approx(measured, abs=0.006)


def test_it_is_short():
    assert len(README.splitlines()) <= 110
