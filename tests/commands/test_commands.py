"""python -m patchcore_edu demo | doctor, and what the demo promises."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from patchcore_edu import PatchCore, auroc
from patchcore_edu.__main__ import main
from patchcore_edu.commands import doctor
from patchcore_edu.datasets import PhotoTextures


def test_the_demo_prints_its_figures_and_saves_a_picture(tmp_path, capsys):
    out = tmp_path / "result.png"
    assert main(["demo", "--category", "gravel", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert out.read_bytes().startswith(b"\x89PNG")
    for name in ("image AUROC", "pixel AUROC", "PRO", "25,088", "2,508", "seconds, fit", "seconds, predict"):
        assert name in printed


def test_the_pictures_of_the_readme_can_be_made_again_and_are_small(tmp_path):
    assert main(["pictures", str(tmp_path)]) == 0
    stored = Path(__file__).parent.parent.parent / "notebooks" / "pictures"
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in stored.iterdir()}
    for file in (*tmp_path.iterdir(), *stored.iterdir()):
        assert file.stat().st_size < 300_000, file


@pytest.mark.parametrize("wrong", [["demo", "--category", "bricks"], ["demo", "--backbone", "vgg"], ["show"], []])
def test_an_unknown_word_is_answered_with_the_known_ones(wrong, capsys):
    with pytest.raises(SystemExit):
        main(wrong)
    assert "usage" in capsys.readouterr().err


def test_the_doctor_finds_this_machine_well(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and all(line.startswith("ok ") for line in lines)


def test_the_doctor_says_what_to_do(monkeypatch, capsys):
    def versions(name):
        if name == "anywidget":
            raise PackageNotFoundError(name)
        return {"ipywidgets": "7.8.1", "jupyterlab_widgets": "1.1.0"}.get(name, "1.0")

    monkeypatch.setattr(doctor, "version", versions)
    monkeypatch.setattr(doctor, "MEMORY_MIB", 10**9)
    untrained = doctor.load_backbone(weights=None)
    monkeypatch.setattr(doctor, "load_backbone", lambda: untrained)
    assert doctor.doctor() == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    for line, advice in zip(failed, ("pip install -e .", "ipywidgets>=8", "close other", "reinstall"), strict=True):
        assert advice in line


@pytest.fixture(scope="module")
def brick(backbone):
    train, test = PhotoTextures("brick", "train"), PhotoTextures("brick", "test")
    anomalous = torch.tensor([sample.anomalous for sample in test])
    masks = torch.stack([sample.mask for sample in test])

    def judged(**settings) -> tuple[float, float]:
        prediction = PatchCore(backbone, **settings).fit(train).predict(test)
        return auroc(prediction.score, anomalous), auroc(prediction.anomaly_map, masks)

    return judged


def test_brick_is_judged_well_by_default(brick):
    image, pixel = brick()
    assert image >= 0.95 and pixel >= 0.95


def test_brick_shows_the_ablations_of_the_paper(brick):
    # A small coreset keeps the suite short; every setting gets the same.
    image, _ = brick(coreset_ratio=0.02)
    for worse in ({"p": 1}, {"p": 9}, {"levels": (1,)}, {"levels": (4,)}):
        assert brick(**worse, coreset_ratio=0.02)[0] < image, worse
