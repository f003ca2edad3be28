"""Reading and resizing photographs, and unpacking archives."""

import io
import itertools
import os
import re
import shutil
import tarfile
import zipfile
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image
from torchvision.transforms.functional import center_crop

from patchcore_edu.datasets.photograph_files import (
    LONGEST,
    photographs_in,
    provide,
    read_mask,
    read_photograph,
    resize_sample,
    unpack,
)


def save(path: Path, pixels, mode: str | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def test_grey_goes_into_three_channels(tmp_path):
    image = read_photograph(save(tmp_path / "a.png", np.array([[0, 51, 255]], dtype=np.uint8)))
    torch.testing.assert_close(image, torch.tensor([0, 0.2, 1]).expand(3, 1, 3))


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    pixels = np.array([[0, 256, 13107, 65535]], dtype=np.uint16)
    for name in ("a.png", "a.tif"):
        image = read_photograph(save(tmp_path / name, pixels))
        torch.testing.assert_close(image, torch.tensor([0, 256 / 65535, 0.2, 1]).expand(3, 1, 4))


def test_transparency_is_white_in_a_photograph_and_no_defect_in_a_mask(tmp_path):
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], dtype=np.uint8)
    image = read_photograph(save(tmp_path / "a.png", pixels))
    torch.testing.assert_close(image[:, 0].T, torch.tensor([[1.0, 0, 0], [1, 1, 1], [0.8, 0.8, 0.8]]))
    assert read_mask(tmp_path / "a.png").tolist() == [[True, False, False]]


def test_a_palette_is_looked_up(tmp_path):
    paletted = Image.new("P", (2, 1))
    paletted.putpalette([0, 0, 255, 255, 51, 0])
    paletted.putdata([1, 0])
    image = read_photograph(save(tmp_path / "a.png", paletted))
    torch.testing.assert_close(image[:, 0].T, torch.tensor([[1, 0.2, 0], [0, 0, 1]]))
    image = read_photograph(save(tmp_path / "b.png", paletted, transparency=1))
    torch.testing.assert_close(image[:, 0].T, torch.tensor([[1.0, 1, 1], [0, 0, 1]]))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_common_mode_becomes_three_channels(tmp_path, mode):
    # Pillow before 13 cannot read back its own uncompressed YCbCr.
    black = np.zeros((2, 3, 3), dtype=np.uint8)
    image = read_photograph(save(tmp_path / "a.tif", black, mode, compression="tiff_lzw"))
    assert image.shape == (3, 2, 3) and image.dtype == torch.float32 and image.max() == 0


def test_the_orientation_tag_is_applied(tmp_path):
    picture = Image.fromarray(np.array([[0, 255]], dtype=np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # The tag says: turn clockwise. So the left edge becomes the top.
    assert read_photograph(save(tmp_path / "a.png", picture, exif=exif))[0].tolist() == [[0], [1]]


@pytest.mark.parametrize("high", [1, 255])
def test_a_mask_may_be_written_with_any_two_values_and_faint_fringes(tmp_path, high):
    pixels = np.array([[0, high, high // 8]], dtype=np.uint8)
    assert read_mask(save(tmp_path / "a.png", pixels)).tolist() == [[False, True, False]]
    assert not read_mask(save(tmp_path / "b.png", np.zeros((2, 2), dtype=np.uint8))).any()


def test_a_damaged_photograph_is_named(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for suffix in ("png", "jpg", "bmp", "tif", "webp"):
        whole = save(tmp_path / f"whole.{suffix}", pixels).read_bytes()
        for name, content in (("cut", whole[: len(whole) // 2]), ("empty", b""), ("text", b"not a picture")):
            path = tmp_path / f"{name}.{suffix}"
            path.write_bytes(content)
            with pytest.raises(ValueError, match=f"{name}.{suffix} cannot be read as a photograph"):
                read_photograph(path)
    broken = bytearray((tmp_path / "whole.png").read_bytes())
    broken[len(broken) // 2] ^= 255
    (tmp_path / "broken.png").write_bytes(broken)
    with pytest.raises(ValueError, match=r"broken.png cannot be read"):
        read_photograph(tmp_path / "broken.png")


def test_values_without_a_known_range_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a.tif cannot be read.*floating-point"):
        read_photograph(save(tmp_path / "a.tif", np.ones((2, 2), dtype=np.float32)))
    with pytest.raises(ValueError, match=r"b.tif cannot be read.*70000, beyond 16 bits"):
        read_photograph(save(tmp_path / "b.tif", np.full((2, 2), 70000, dtype=np.int32)))


def test_a_missing_photograph_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone.png"):
        read_photograph(tmp_path / "gone.png")


def covered(n: int, m: int, i: int) -> range:
    """The pixels of an axis of length n that pixel i covers once the axis is resized to length m."""
    return range(floor(Fraction(i * n, m)), ceil(Fraction((i + 1) * n, m)))


masks = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(
    lambda shape: st.lists(st.tuples(st.integers(0, shape[0] - 1), st.integers(0, shape[1] - 1)), max_size=3).map(
        lambda ones: (shape, ones)
    )
)


@settings(deadline=None, max_examples=150)
@given(masks, st.integers(1, 12), st.integers(0, 6), st.sampled_from(["keep", "squash"]))
def test_a_resized_mask_invents_and_loses_nothing(mask, size, extra, aspect):
    (height, width), ones = mask
    before = torch.zeros(height, width, dtype=torch.bool)
    for row, column in ones:
        before[row, column] = True
    resize = size + extra
    image, after = resize_sample(torch.rand(3, height, width), before, size, resize, aspect)
    assert after.shape == (size, size) and after.dtype == torch.bool
    assert image.shape == (3, size, size) and image.min() >= 0 and image.max() <= 1

    short = min(height, width)
    if aspect == "keep":  # the ends of a very long photograph are cut off first
        before = center_crop(before, [min(side, LONGEST * short) for side in (height, width)])
        (height, width), ones = before.shape, before.nonzero().tolist()
    full = [size, size] if aspect == "squash" else [round(resize * side / short) for side in (height, width)]
    top, left = (round((side - size) / 2) for side in full)
    for i, j in itertools.product(range(size), range(size)):
        rows, columns = covered(height, full[0], top + i), covered(width, full[1], left + j)
        assert after[i, j] == any(row in rows and column in columns for row, column in ones)


def test_one_pixel_of_a_large_photograph_does_not_vanish():
    mask = torch.zeros(1024, 1024, dtype=torch.bool)
    mask[700, 333] = True
    _, small = resize_sample(torch.zeros(3, 1024, 1024), mask)
    # 1024 → 256 is a factor of 4, and the crop starts at 16.
    assert small.nonzero().tolist() == [[700 // 4 - 16, 333 // 4 - 16]]


def test_keep_crops_the_ends_and_squash_keeps_them():
    ramp = torch.linspace(0, 1, 800)[:, None].expand(800, 200)
    mask = torch.zeros(800, 200, dtype=torch.bool)
    mask[:40] = True
    kept, kept_mask = resize_sample(ramp.expand(3, -1, -1), mask, size=100, resize=100)
    squashed, squashed_mask = resize_sample(ramp.expand(3, -1, -1), mask, size=100, aspect="squash")
    # 800 × 200 becomes 400 × 100, of which rows 150 to 249 are kept.
    assert kept[0, 0, 50].item() == pytest.approx(150 / 400, abs=0.01) and not kept_mask.any()
    assert kept[0, -1, 50].item() == pytest.approx(250 / 400, abs=0.01)
    assert squashed[0, 0, 50] < 0.02 and squashed[0, -1, 50] > 0.98
    assert squashed_mask[:5].all() and not squashed_mask[5:].any()


def test_image_and_mask_stay_aligned():
    image, mask = torch.zeros(3, 300, 420), torch.zeros(300, 420, dtype=torch.bool)
    image[:, 100:140, 200:260], mask[100:140, 200:260] = 1, True
    for aspect in ("keep", "squash"):
        small, small_mask = resize_sample(image, mask, 128, 150, aspect)
        assert (small_mask >= (small[0] > 0.5)).all()
        assert small_mask.sum() < 1.2 * (small[0] > 0.5).sum()


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:\\evil.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.xz"])
def test_a_path_that_escapes_is_refused_before_anything_is_written(tmp_path, name, kind):
    archive, inside = tmp_path / f"a.{kind}", tmp_path / "one" / "two"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("harmless.txt", "first")
            opened.writestr(name, "evil")
    else:
        with tarfile.open(archive, "w:xz" if kind == "tar.xz" else "w") as opened:
            for member in ("harmless.txt", name):
                opened.addfile(tarfile.TarInfo(member), io.BytesIO())
    with pytest.raises(ValueError) as error:
        unpack(archive, inside)
    assert repr(name) in str(error.value) and "leads outside" in str(error.value)
    assert list(tmp_path.rglob("*")) == [archive] and not Path("/tmp/evil.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, "zip"])
def test_links_and_devices_are_refused(tmp_path, kind):
    archive = tmp_path / "archive"
    if kind == "zip":
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr(link, "/etc")
    else:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = kind, "/etc"
        with tarfile.open(archive, "w") as opened:
            opened.addfile(link)
    with pytest.raises(ValueError, match="'link', a link or a device; nothing was unpacked"):
        unpack(archive, tmp_path / "inside")
    assert not (tmp_path / "inside").exists()


def test_a_line_of_pixels_is_resized_in_little_memory(at_most):
    image = torch.linspace(0, 1, 5000).expand(3, 1, 5000)
    with at_most(200):
        resized, mask = resize_sample(image, torch.ones(1, 5000, dtype=torch.bool))
    assert resized.shape == (3, 224, 224) and mask.all()
    assert resized.mean() == pytest.approx(0.5, abs=1e-3), "the middle"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_a_pipe_is_not_a_photograph(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ValueError, match="not an ordinary file"):
        read_photograph(tmp_path / "a.png")


def test_twelve_bits_in_sixteen_give_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="reach only 4095: it is nearly black"):
        read_photograph(save(tmp_path / "a.png", np.array([[0, 4095]], dtype=np.uint16)))


def test_archives_that_cannot_be_opened_are_named(tmp_path):
    archive, where = tmp_path / "archive", tmp_path / "unpacked"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("file", "text")
    plain = archive.read_bytes()
    central = plain.index(b"PK\x01\x02")

    def changed(offset, value):  # in the local header; two bytes later in the central one
        data = bytearray(plain)
        data[offset] = data[central + offset + 2] = value
        return bytes(data)

    with tarfile.open(archive, "w:bz2") as opened:
        opened.addfile(tarfile.TarInfo("file"))
    bz2 = bytearray(archive.read_bytes())
    bz2[len(bz2) // 2] ^= 0xFF
    for data, message in (
        (changed(6, 1), "cannot be unpacked: .*encrypted"),
        (changed(8, 99), "cannot be unpacked: .*compression"),
        (bytes(bz2), "is damaged"),
    ):
        archive.write_bytes(data)
        with pytest.raises(ValueError, match=f"archive {re.escape(str(archive))} {message}"):
            unpack(archive, where)


def test_a_changed_byte_in_a_gzip_is_found_before_anything_is_unpacked(tmp_path):
    """Deflate stores noise uncompressed, so only the checksum at the end reveals the change."""
    archive, noise = tmp_path / "archive.tar.gz", np.random.default_rng(0).bytes(50_000)
    member = tarfile.TarInfo("noise")
    member.size = len(noise)
    with tarfile.open(archive, "w:gz") as opened:
        opened.addfile(member, io.BytesIO(noise))
    whole = archive.read_bytes()
    unpack(archive, tmp_path / "well")
    assert (tmp_path / "well" / "noise").read_bytes() == noise
    for at in (len(whole) // 3, len(whole) // 2, len(whole) - 6):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        archive.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"archive .*archive\.tar\.gz is damaged: CRC check failed"):
            unpack(archive, tmp_path / "badly")
        assert not (tmp_path / "badly").exists()


def test_no_other_program_is_started_for_a_postscript_file(tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png", format="EPS")
    with pytest.raises(ValueError, match=r"a\.png cannot be read as a photograph"):
        read_photograph(tmp_path / "a.png")


def test_photographs_in_subfolders_are_left_out_with_a_warning(tmp_path):
    for name in ("a.png", "more/b.png", ".checkpoints/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    with pytest.warns(UserWarning, match=r"holds folders too, \['more'\]; only the photographs beside them are read"):
        assert photographs_in(tmp_path) == [tmp_path / "a.png"]


def test_an_archive_with_one_name_for_a_file_and_a_folder_is_named(tmp_path):
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a", "a file")
        opened.writestr("a/b", "a file in a folder of that name")
    with pytest.raises(ValueError, match=r"archive .*archive\.zip is damaged"):
        unpack(archive, tmp_path / "unpacked")


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "bottle").touch()
    for root in (tmp_path, tmp_path / "bottle"):
        with pytest.raises(ValueError, match="bottle is a file; it must be a folder"):
            provide(root, ["bottle"], "bottle.tar.xz", "Get it")


def test_an_archive_larger_than_the_disk_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    packed = {"zip": tmp_path / "a.zip", "tar": tmp_path / "a.tar.xz"}
    with zipfile.ZipFile(packed["zip"], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**6))
    with tarfile.open(packed["tar"], "w:xz") as archive:
        member = tarfile.TarInfo("zeros")
        member.size = 10**6
        archive.addfile(member, io.BytesIO(bytes(10**6)))
    room = shutil.disk_usage(tmp_path)._replace(free=10**6 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    for path in packed.values():
        assert path.stat().st_size < 3000
        with pytest.raises(OSError, match=f"archive {re.escape(str(path))} takes 0.0 GiB once unpacked"):
            unpack(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["pages.tif", "moving.png", "moving.webp"])
def test_of_several_pictures_the_first_is_read_with_a_warning(tmp_path, name):
    first, second = (Image.new("RGB", (4, 3), colour) for colour in ("white", "black"))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match=rf"{name} holds 2 pictures"):
        assert (read_photograph(tmp_path / name) > 0.9).all()


def test_archives_with_impossible_entries_are_named(tmp_path):
    nameless, huge = tmp_path / "nameless.zip", tmp_path / "huge.tar"
    with zipfile.ZipFile(nameless, "w") as archive:
        archive.writestr("a", b"x")
        archive.infolist()[0].filename = ""
    member = tarfile.TarInfo("past all files")
    member.size = 10**15
    huge.write_bytes(member.tobuf() + bytes(2048))
    for path in (nameless, huge):
        with pytest.raises(ValueError, match=f"archive {re.escape(str(path))} is damaged"):
            unpack(path, tmp_path / "out")
