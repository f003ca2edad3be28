"""python -m patchcore_edu demo | doctor | pictures | progress, and the results that the demo should show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import patchcore_edu
from patchcore_edu import PatchCore, auroc, load_backbone
from patchcore_edu.__main__ import main
from patchcore_edu.commands import demo, doctor
from patchcore_edu.explorers.machinery.photographs import backbone as explorers_backbone
from patchcore_edu.explorers.machinery.photographs import model as kept_model
from patchcore_edu.explorers.machinery.photographs import photographs


def test_the_demo_prints_its_figures_and_saves_a_picture(tmp_path, capsys):
    out = tmp_path / "result.png"
    assert main(["demo", "--category", "gravel", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert out.read_bytes().startswith(b"\x89PNG")
    for name in ("image AUROC", "pixel AUROC", "PRO", "25,088", "2,508", "seconds, fit", "seconds, predict"):
        assert name in printed


def test_the_pictures_of_the_readme_can_be_made_again_and_are_small(tmp_path, monkeypatch):
    kept, _ = kept_model()  # equal to what `fit` gives, as the tests of the explorers' cache show
    monkeypatch.setattr(PatchCore, "fit", lambda self, train: vars(self).update(vars(kept)) or self)
    assert main(["pictures", str(tmp_path)]) == 0
    stored = Path(__file__).parent.parent.parent / "notebooks" / "pictures"
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in stored.iterdir()}
    for file in (*tmp_path.iterdir(), *stored.iterdir()):
        assert file.stat().st_size < 300_000, file


@pytest.mark.parametrize("wrong", [["demo", "--category", "bricks"], ["demo", "--backbone", "vgg"], ["show"], []])
def test_an_unknown_argument_shows_the_usage(wrong, capsys):
    with pytest.raises(SystemExit):
        main(wrong)
    assert "usage" in capsys.readouterr().err


def test_the_doctor_finds_no_fault_with_this_machine(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and all(line.startswith("ok ") for line in lines)


def failures(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("FAIL")]


def test_the_doctor_says_what_to_do(monkeypatch, capsys):
    versions = {"ipywidgets": "7.8.1", "jupyterlab_widgets": "1.1.0"}
    monkeypatch.setattr(doctor, "version", lambda name: versions.get(name, "1.0"))
    monkeypatch.setattr(doctor, "MEMORY_MIB", 10**9)
    monkeypatch.setattr(doctor, "DISK_MIB", 10**12)
    monkeypatch.setitem(doctor.PACKAGES, "no_such_module", "no-such-package")
    assert doctor.doctor() == 1
    failed = failures(capsys.readouterr().out)
    for line, advice in zip(failed, ("no-such-package", "ipywidgets>=8", "close other", "make room"), strict=True):
        assert advice in line


def test_memory_that_the_system_can_reclaim_counts_as_free(monkeypatch):
    told = Path("/proc/meminfo").read_text()
    monkeypatch.setattr(Path, "read_text", lambda path: "MemFree: 1 kB\nMemAvailable: 2097152 kB\n" + told)
    assert doctor._memory() == "2,048 MiB of memory are free"


@pytest.mark.parametrize("error", [ValueError, AttributeError])
def test_unknown_memory_is_not_a_fault(error, monkeypatch):
    def unknown(name):
        raise error

    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(os, "sysconf", unknown)
    assert doctor._memory().startswith("free memory: unknown on this system; the course needs about")


def test_the_doctor_finds_untrained_weights_and_a_missing_browser_extension(monkeypatch, capsys):
    untrained = load_backbone(weights=None)
    monkeypatch.setattr("patchcore_edu.backbone.load_backbone", lambda: untrained)
    assert doctor.doctor() == 1
    assert "reinstall" in failures(capsys.readouterr().out)[0]
    monkeypatch.setitem(doctor.EXTENSIONS, "no-such-extension", "no-such-package")
    assert doctor.doctor() == 1
    assert "the browser shows no widgets" in failures(capsys.readouterr().out)[0]


@pytest.mark.parametrize("command, told", [("| true", ""), ("> /dev/full", "[Errno 28] No space left on device\n")])
def test_a_closed_pipe_and_a_full_disk_end_it_without_a_traceback(command, told, tmp_path):
    """Including what Python itself writes when it exits."""
    (tmp_path / "progress.json").write_text('{"auroc": "10:00"}')
    code = f"import sys\nfrom patchcore_edu.__main__ import main\nsys.exit(main(['progress', {str(tmp_path)!r}]))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    line = f"'{sys.executable}' -c \"$CODE\" {command}"
    done = subprocess.run(["bash", "-c", line], env=environment | {"CODE": code}, capture_output=True, text=True)
    assert done.stderr == told


@pytest.mark.parametrize("missing", [(), ("torch", "sklearn", "skimage", "tqdm", "nbconvert"), ("matplotlib",)])
def test_the_doctor_needs_nothing_but_python(missing, tmp_path):
    """Python without any other package (-S), or without some of them. Stand-ins replace some that are slow to load."""
    slow = {"torchvision", "sklearn", "jupyterlab", "nbconvert", "nbclient", "nbformat"} - set(missing)
    lines = ["import sys", *(f"sys.modules[{name!r}] = None" for name in missing)]
    lines += [f"sys.modules[{name!r}] = type(sys)({name!r})" for name in slow]
    (tmp_path / "sitecustomize.py").write_text("\n".join(lines))
    # A link to the package alone: the folder that it is in may hold the other packages too.
    (tmp_path / "patchcore_edu").symlink_to(Path(patchcore_edu.__file__).parent)
    command = [sys.executable, *([] if missing else ["-S"]), "-m", "patchcore_edu", "doctor"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    [first, *_] = failures(done.stdout)
    assert all(doctor.PACKAGES[name] in first for name in missing or doctor.PACKAGES) and "pip install -e ." in first


def test_an_import_without_a_dependency_points_to_the_doctor(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['scipy'] = None")
    path = os.pathsep.join([str(tmp_path), str(Path(patchcore_edu.__file__).parent.parent)])
    command = [sys.executable, "-c", "import patchcore_edu"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert "scipy is missing" in done.stderr and "python -m patchcore_edu doctor" in done.stderr


@pytest.mark.parametrize(
    "out, why",
    [("no/such/folder/a.png", "the folder no/such/folder is missing"), ("a.docx", "its extension must be one of .")],
)
def test_the_demo_first_checks_that_its_picture_can_be_written(out, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "PatchCore", None)  # the test fails if anything runs
    with pytest.raises(SystemExit):
        main(["demo", "--out", out])
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_defects_on_brick_are_found_by_default():
    prediction, test = kept_model()[1], photographs("brick", "test").dataset
    assert auroc(prediction.score, torch.tensor([sample.anomalous for sample in test])) >= 0.95
    assert auroc(prediction.anomaly_map, torch.stack([sample.mask for sample in test])) >= 0.95


def test_brick_shows_the_ablations_of_the_paper():
    good, test = photographs("brick", "train"), photographs("brick", "test")
    anomalous = torch.tensor([sample.anomalous for sample in test.dataset])

    def image_auroc(**settings) -> float:
        # A small coreset and small maps (only scores are compared) keep this fast; all settings get the same.
        model = PatchCore(explorers_backbone(), coreset_ratio=0.02, **settings)
        prediction = model.fit_patches(model.patches_of(good.phi)).predict_patches(model.patches_of(test.phi), 28)
        return auroc(prediction.score, anomalous)

    default = image_auroc()
    for worse in ({"p": 1}, {"p": 9}, {"levels": (1,)}, {"levels": (4,)}):
        assert image_auroc(**worse) < default, worse
