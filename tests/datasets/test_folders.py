"""Data sets in folders, tested on small generated photographs; downloads come from a server on this machine."""

import http.server
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from patchcore_edu.datasets import ImageFolder, MagneticTiles, MVTecAD


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


GREY = np.full((40, 60), 100, dtype=np.uint8)
MARKED = np.pad(np.full((4, 4), 255, dtype=np.uint8), ((18, 18), (28, 28)))


@pytest.fixture
def bottle(tmp_path) -> Path:
    folder = tmp_path / "bottle"
    for i in range(3):
        save(folder / "train" / "good" / f"{i:03}.png", GREY + i)
    for defect in ("good", "broken_large", "contamination"):
        for i in range(2):
            save(folder / "test" / defect / f"{i:03}.png", GREY)
            if defect != "good":
                save(folder / "ground_truth" / defect / f"{i:03}_mask.png", MARKED)
    return folder


def test_mvtec_layout(bottle):
    train = MVTecAD(bottle.parent, "bottle", size=32, resize=40)
    test = MVTecAD(str(bottle.parent), "bottle", "test", size=32, resize=40)
    assert len(train) == 3 and not any(sample.anomalous for sample in train)
    assert [round(sample.image[0, 0, 0].item() * 255) for sample in train] == [100, 101, 102]
    assert [sample.defect for sample in test] == ["broken_large"] * 2 + ["contamination"] * 2 + ["good"] * 2
    assert [sample.anomalous for sample in test] == [True] * 4 + [False] * 2
    assert [int(sample.mask.sum()) for sample in test] == [16] * 4 + [0] * 2
    assert test[0].mask[14:18, 14:18].all()
    assert test[1].source == str(bottle / "test" / "broken_large" / "001.png")
    assert test.category == "bottle" and test.split == "test" and len(MVTecAD.categories) == 15
    with pytest.raises(IndexError):
        test[6]


def test_photographs_are_read_only_when_asked_for(bottle):
    (bottle / "train" / "good" / "001.png").write_bytes(b"\x89PNG broken")
    train = MVTecAD(bottle.parent, "bottle")
    assert train[0].image.shape == (3, 224, 224)
    with pytest.raises(ValueError, match=r"001.png cannot be read"):
        train[1]


def test_mvtec_refuses_bad_arguments_and_folders(bottle):
    root = bottle.parent
    with pytest.raises(ValueError, match="category was 'bottles'; it must be one of 'bottle', 'cable'"):
        MVTecAD(root, "bottles")
    with pytest.raises(ValueError, match="split was 'validation'"):
        MVTecAD(root, "bottle", "validation")
    with pytest.raises(FileNotFoundError, match=r"cable is missing. Get cable.tar.xz from MVTec's own page"):
        MVTecAD(root, "cable")
    with pytest.raises(FileNotFoundError, match="no public link"):
        MVTecAD(root, "cable", download=True)


@pytest.mark.parametrize(
    "lost, split, message",
    [
        ("train/good", "train", "good is missing"),
        ("test/good", "test", "good is missing"),
        ("test/good/*", "test", "good holds no photographs"),
        ("test/contamination/*", "test", "contamination holds no photographs"),
        ("ground_truth", "test", "000.png has no mask; it must be .*ground_truth.broken_large.000_mask.png"),
        ("ground_truth/contamination/001_mask.png", "test", "contamination.001.png has no mask"),
    ],
)
def test_a_half_copied_mvtec_is_refused_by_name(bottle, lost, split, message):
    for path in list(bottle.glob(lost)):
        path.rename(bottle.parent / f"lost {path.name}")
    with pytest.raises(FileNotFoundError, match=message):
        MVTecAD(bottle.parent, "bottle", split)


def test_mvtec_without_any_defects_is_half_copied(bottle):
    for name in ("broken_large", "contamination"):
        (bottle / "test" / name).rename(bottle.parent / name)
    with pytest.raises(FileNotFoundError, match="no folder of defective photographs"):
        MVTecAD(bottle.parent, "bottle", "test")


def test_a_mask_of_another_size_is_refused(bottle):
    save(bottle / "ground_truth" / "broken_large" / "000_mask.png", MARKED[:, 1:])
    with pytest.raises(ValueError, match=r"000_mask.png has \(40, 59\) pixels, but its photograph .* \(40, 60\)"):
        MVTecAD(bottle.parent, "bottle", "test")[0]


def test_image_folder_with_and_without_masks(bottle):
    train_dir, test_dir, mask_dir = bottle / "train" / "good", bottle / "test", bottle / "ground_truth"
    (mask_dir / "broken_large" / "000_mask.png").rename(mask_dir / "broken_large" / "000.png")
    masked = ImageFolder(train_dir, test_dir, mask_dir, "test", size=32, resize=40)
    bare = ImageFolder(train_dir, test_dir, split="test", size=32, resize=40)
    assert [int(sample.mask.sum()) for sample in masked] == [16] * 4 + [0] * 2
    assert [(sample.anomalous, int(sample.mask.sum())) for sample in bare] == [(True, 0)] * 4 + [(False, 0)] * 2
    assert len(ImageFolder(train_dir)) == 3
    (mask_dir / "contamination" / "000_mask.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"contamination.000.png has no mask"):
        ImageFolder(train_dir, test_dir, mask_dir, "test")
    with pytest.raises(FileNotFoundError, match="has no mask"):
        ImageFolder(train_dir, test_dir, test_dir, "test")


def test_a_defect_s_folder_may_have_the_name_of_a_photograph(bottle):
    (bottle / "test" / "contamination").rename(bottle / "test" / "stain.png")
    test = ImageFolder(bottle / "train" / "good", bottle / "test", split="test")
    assert "stain.png" in {sample.defect for sample in test}


def test_image_folder_of_unknown_photographs(bottle):
    unknown = ImageFolder(bottle / "train" / "good", bottle / "test" / "good", split="test")
    found = {(sample.defect, sample.anomalous, bool(sample.mask.any()), sample.labelled) for sample in unknown}
    assert found == {("unknown", False, False, False)}


def test_a_defect_may_be_called_unknown(bottle):
    (bottle / "test" / "contamination").rename(bottle / "test" / "unknown")
    samples = ImageFolder(bottle / "train" / "good", bottle / "test", split="test")
    found = {(sample.defect, sample.anomalous, sample.labelled) for sample in samples}
    assert found == {("broken_large", True, True), ("unknown", True, True), ("good", False, True)}


@pytest.mark.parametrize("name", ["Good", "GOOD", "goood", "good ", "goods", "god", "good_", "OK", "Normal"])
def test_a_misspelt_good_is_not_a_defect(bottle, name):
    (bottle / "test" / "good").rename(bottle / "test" / name)
    with pytest.raises(ValueError, match=f"would count as a defect called '{name}'; .* must be called 'good'"):
        ImageFolder(bottle / "train" / "good", bottle / "test", split="test")
    (bottle / "test" / name).rename(bottle / "test" / "wood")
    assert len(ImageFolder(bottle / "train" / "good", bottle / "test", split="test")) == 6


def test_a_mask_that_marks_nothing_is_reported(bottle):
    save(bottle / "ground_truth" / "contamination" / "000_mask.png", MARKED & False)
    samples = MVTecAD(bottle.parent, "bottle", "test")
    with pytest.warns(UserWarning, match=r"contamination.000_mask.png marks no pixel of .*contamination.000.png"):
        assert any(sample.anomalous and not sample.mask.any() for sample in samples)


def test_image_folder_refuses_bad_arguments_and_folders(bottle, tmp_path):
    good = bottle / "train" / "good"
    with pytest.raises(ValueError, match="test_dir was None"):
        ImageFolder(good, split="test")
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        ImageFolder(good, tmp_path / "nowhere", split="test")
    (tmp_path / "empty").mkdir()
    save(tmp_path / "empty" / "._hidden.png", GREY)
    with pytest.raises(FileNotFoundError, match="empty holds no photographs"):
        ImageFolder(tmp_path / "empty")
    save(bottle / "test" / "loose.jpg", GREY)
    with pytest.raises(ValueError, match="photographs and subfolders"):
        ImageFolder(good, bottle / "test", split="test")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(size=0), "size was 0"),
        (dict(size=224, resize=223), "resize was 223; it must be a whole number of at least 224"),
        (dict(aspect="stretch"), "aspect was 'stretch'; it must be one of 'keep', 'squash'"),
    ],
)
def test_sizes_are_checked_at_once(tmp_path, arguments, message):
    save(tmp_path / "a.png", np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match=message):
        ImageFolder(tmp_path, **arguments)


@pytest.fixture
def tiles(tmp_path) -> Path:
    root = tmp_path / "tiles"
    for i in range(20):
        save(root / "MT_Free" / "Imgs" / f"exp{i}.jpg", np.full((30 + i, 20), 100, dtype=np.uint8))
        save(root / "MT_Free" / "Imgs" / f"exp{i}.png", np.zeros((30 + i, 20), dtype=np.uint8))
    for defect in MagneticTiles.defects:
        save(root / f"MT_{defect.capitalize()}" / "Imgs" / "exp1.jpg", GREY)
        save(root / f"MT_{defect.capitalize()}" / "Imgs" / "exp1.png", MARKED)
    return root


def test_magnetic_tiles_layout_and_split(tiles):
    train, test = MagneticTiles(tiles, size=32), MagneticTiles(tiles, "test", size=32)
    assert len(train) == 16 and [s.defect for s in test] == ["good"] * 4 + list(MagneticTiles.defects)
    free = {str(path) for path in (tiles / "MT_Free" / "Imgs").glob("*.jpg")}
    held_out = {s.source for s in test if not s.anomalous}
    assert {s.source for s in train} | held_out == free and {s.source for s in train} & held_out == set()
    assert all(s.anomalous == bool(s.mask.any()) == (s.defect != "good") for s in test)
    assert next(iter(DataLoader(test, batch_size=9))).image.shape == (9, 3, 32, 32)


def test_magnetic_tiles_split_is_fixed_by_its_seed(tiles):
    splits = [[s.source for s in MagneticTiles(tiles, "test", size=8, seed=seed)][:4] for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize(
    "lost, message",
    [
        ("MT_Crack", "MT_Crack is missing. Put the file from .* at .*or unpack it"),
        ("MT_Free/Imgs", "Imgs is missing"),
        ("MT_Fray/Imgs/exp1.jpg", "Imgs holds no photographs"),
        ("MT_Fray/Imgs/exp1.png", "MT_Fray.Imgs.exp1.jpg has no mask"),
    ],
)
def test_half_copied_magnetic_tiles_are_refused_by_name(tiles, lost, message):
    (tiles / lost).rename(tiles.parent / "lost")
    with pytest.raises(FileNotFoundError, match=message):
        MagneticTiles(tiles, "test")


def zipped(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, f"{prefix}{path.relative_to(folder)}")
    return archive


@pytest.fixture
def server(tmp_path):
    """An HTTP server on this machine for the folder `served`."""
    served = tmp_path / "served"
    served.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(served))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield served, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_magnetic_tiles_are_downloaded(tiles, server, tmp_path, monkeypatch):
    served, address = server
    zipped(tiles, served / "master.zip", prefix="Magnetic-tile-defect-datasets.-master/")
    monkeypatch.setattr(MagneticTiles, "url", f"{address}/master.zip")
    root = tmp_path / "fresh" / "root"
    with pytest.raises(FileNotFoundError, match="MT_Free is missing"):
        MagneticTiles(root)
    assert len(MagneticTiles(root, download=True)) == 16
    assert sorted(path.name for path in root.iterdir()) == sorted(path.name for path in tiles.iterdir())
    (served / "master.zip").unlink()
    assert len(MagneticTiles(root, "test", download=True)) == 9, "what is there is not fetched again"


def test_without_a_network_the_error_says_which_file_to_put_where(tmp_path, server, monkeypatch):
    _, address = server
    monkeypatch.setattr(MagneticTiles, "url", f"{address}/nothing.zip")
    with pytest.raises(FileNotFoundError) as error:
        MagneticTiles(tmp_path / "root", download=True)
    assert f"{address}/nothing.zip cannot be downloaded" in str(error.value)
    assert str(tmp_path / "root" / MagneticTiles.archive) in str(error.value)
    assert list((tmp_path / "root").iterdir()) == [], "nothing half-done stays behind"


def test_a_download_cut_short_is_refused_and_leaves_nothing(tiles, server, tmp_path, monkeypatch):
    served, address = server
    whole = zipped(tiles, served / "master.zip").read_bytes()
    (served / "master.zip").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(MagneticTiles, "url", f"{address}/master.zip")
    with pytest.raises(ValueError, match="is damaged"):
        MagneticTiles(tmp_path / "root", download=True)
    assert list((tmp_path / "root").iterdir()) == []


@pytest.mark.parametrize("filters", [True, False], ids=["with a filter", "as Python 3.11.2"])
def test_an_archive_in_root_is_unpacked(filters, bottle, tiles, tmp_path, monkeypatch):
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    (tmp_path / "root").mkdir()
    with tarfile.open(tmp_path / "root" / "bottle.tar.xz", "w:xz") as opened:
        opened.add(bottle, "bottle")
    assert len(MVTecAD(tmp_path / "root", "bottle", "test")) == 6
    zipped(tiles, tmp_path / "root" / MagneticTiles.archive)
    assert len(MagneticTiles(tmp_path / "root")) == 16


def test_an_archive_of_something_else_is_refused(tiles, tmp_path):
    (tmp_path / "root").mkdir()
    zipped(tiles / "MT_Free", tmp_path / "root" / MagneticTiles.archive)
    with pytest.raises(ValueError, match="holds no folder 'MT_Free'"):
        MagneticTiles(tmp_path / "root")


def test_a_damaged_archive_is_named(bottle, tmp_path):
    archive = tmp_path / "cable.tar.xz"
    with tarfile.open(archive, "w:xz") as opened:
        opened.add(bottle, "cable")
    whole = archive.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not an archive"):
        archive.write_bytes(content)
        with pytest.raises(ValueError, match=r"cable.tar.xz is damaged"):
            MVTecAD(tmp_path, "cable")
        assert not (tmp_path / "cable").exists()


def test_two_photographs_never_share_a_mask(tmp_path):
    pixels = np.zeros((8, 8), np.uint8)
    for name in ("scratch/a.png", "scratch/a.bmp", "masks/scratch/a.png"):
        save(tmp_path / "test" / name if "masks" not in name else tmp_path / name, pixels)
    with pytest.raises(ValueError, match=r"a\.bmp and a\.png would share a mask"):
        ImageFolder(tmp_path, tmp_path / "test", tmp_path / "masks", split="test")
    assert len(ImageFolder(tmp_path, tmp_path / "test", split="test")) == 2


@pytest.mark.parametrize("path", [None, 3, ["a"]])
def test_what_is_not_a_path_is_named(tmp_path, path):
    save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    for name, make in {
        "train_dir": lambda: ImageFolder(path),
        "test_dir": lambda: ImageFolder(tmp_path, path or 0, split="test"),
        "mask_dir": lambda: ImageFolder(tmp_path, tmp_path, path or 0, split="test"),
        "root": lambda: MVTecAD(path, "bottle"),
    }.items():
        with pytest.raises(ValueError, match=f"^{name} was .*; it must be the path of a folder"):
            make()


def test_a_file_is_not_a_folder_of_photographs(tmp_path):
    file = save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(FileNotFoundError, match="is a file; it must be a folder of photographs"):
        ImageFolder(file)
