"""From files to tensors: find, read and resize photographs and masks; unpack archives safely."""

import errno
import http.client
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PureWindowsPath
from warnings import warn

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn.functional import adaptive_max_pool2d

from patchcore_edu.files import ordinary
from patchcore_edu.validation import one_of, shown, whole_number

LONGEST = 8  # times the shorter side: no more of a photograph is resized before it is cropped
ASPECTS = ("keep", "squash")
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")  # Pillow starts another program to draw a PostScript file
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def photographs_in(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Return the photographs in `folder`, sorted by name, or raise FileNotFoundError if there are none."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is missing"
        raise FileNotFoundError(f"{folder} {what}; it must be a folder of photographs")
    files = [file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.name[0] != "."]
    if not files:
        raise FileNotFoundError(f"{folder} holds no photographs ({', '.join(suffixes)})")
    if deeper := sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."):
        warn(f"{folder} holds folders too, {shown(deeper)}; only the photographs beside them are read", stacklevel=3)
    return sorted(files)


def read_photograph(path: str | Path) -> torch.Tensor:
    """Read a photograph as RGB.

    Grey values go into all three channels; 16-bit grey is divided by 65535, with a warning if its values use fewer
    than 12 of the 16 bits; a palette is looked up; transparent parts become white, as in most viewers; a camera's
    orientation tag (EXIF) is applied. If a file holds several pictures, the first is read, with a warning.

    Args:
        path: a png, jpg, bmp, tif, webp or gif, whatever it is called, with 8-bit channels, or grey with 16 bits.

    Returns:
        (3, H, W), float32, in [0, 1].

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, cut off, or of another kind.
    """
    return torch.from_numpy(_read(path, "white").transpose(2, 0, 1).copy())


def read_mask(path: str | Path) -> torch.Tensor:
    """Read a mask of two values: True where it is brighter than half of its own brightest value.

    So 0 and 1 work as well as 0 and 255, and the faint fringe of a mask saved with soft edges does not count.

    Args:
        path: a file as for `read_photograph`; transparent parts do not count.

    Returns:
        (H, W), bool.

    Raises:
        FileNotFoundError, ValueError: as for `read_photograph`.
    """
    brightness = _read(path, "black").max(axis=2)
    return torch.from_numpy(brightness > brightness.max() / 2)


def _read(path: str | Path, background: str) -> np.ndarray:
    try:
        with Image.open(ordinary(path), formats=FORMATS) as opened:
            # A phone's photograph may contain a smaller copy of itself.
            if (pictures := getattr(opened, "n_frames", 1)) > 1 and opened.format != "MPO":
                warn(f"{path} holds {pictures} pictures, one after another; only the first is read", stacklevel=4)
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                grey = np.asarray(image)
                if grey.min() < 0 or grey.max() > 65535:
                    raise ValueError(f"its grey values reach from {grey.min()} to {grey.max()}, beyond 16 bits")
                if 0 < grey.max() < 4096:
                    warn(
                        f"{path} has 16 bits, but its values reach only {grey.max()}: it is nearly black. "
                        "If the camera has 12 bits, multiply its values by 16",
                        stacklevel=4,
                    )
                return np.repeat((grey / 65535).astype(np.float32)[..., None], 3, axis=2)
            if image.mode == "F":
                raise ValueError("it has floating-point values, whose range is unknown")
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
            return np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    except FileNotFoundError:
        raise
    except Exception as error:  # on damaged files, Pillow's readers raise many kinds of errors
        raise ValueError(f"{path} cannot be read as a photograph: {error}") from error


def resize_sample(
    image: torch.Tensor, mask: torch.Tensor, size: int = 224, resize: int = 256, aspect: str = "keep"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring a photograph and its mask to size × size pixels.

    The photograph is resized bilinearly with antialiasing. A pixel of the resized mask is True if any part of it was:
    resizing loses no defect, however small, and adds none. The crop can cut one off.

    Args:
        image: (3, H, W), float, in [0, 1].
        mask: (H, W), bool.
        size: the result's height and width, in pixels.
        resize: with aspect="keep", what the shorter side becomes before cropping; at least `size`.
        aspect: "keep" resizes the shorter side to `resize` and crops size × size from the centre, which cuts
            the ends off a long photograph. "squash" resizes the whole photograph to size × size, distorted, and
            does not use `resize`.

    Returns:
        (3, size, size), float, in [0, 1], and (size, size), bool.

    Raises:
        ValueError: `size`, `resize` or `aspect` is not allowed.

    Example:
        >>> mask = torch.zeros(1000, 500, dtype=torch.bool)
        >>> mask[700, 250] = True
        >>> image, small = resize_sample(mask.expand(3, -1, -1).float(), mask, size=4, resize=5)
        >>> image.shape, small.int().tolist()
        (torch.Size([3, 4, 4]), [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
        >>> resize_sample(image, mask, size=4, aspect="squash")[1].int().tolist()
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    """
    # Imported only where it is needed: it takes as long to import as PyTorch.
    from torchvision.transforms.v2 import functional

    check_geometry(size, resize, aspect)
    height, width = mask.shape
    target = [size, size]
    if aspect == "keep":
        # What the crop will cut off need not be resized first: for a very long picture, that would be gigabytes.
        height, width = (min(side, LONGEST * min(height, width)) for side in (height, width))
        image, mask = (functional.center_crop(picture, [height, width]) for picture in (image, mask))
        target = [round(resize * side / min(height, width)) for side in (height, width)]
    image = functional.resize(image, target, antialias=True).clamp(0, 1)
    mask = adaptive_max_pool2d(mask[None].float(), target)[0] > 0
    return functional.center_crop(image, [size, size]), functional.center_crop(mask, [size, size])


def check_geometry(size: int, resize: int, aspect: str) -> None:
    """Raise ValueError unless `resize_sample` can work with these sizes and this aspect."""
    one_of("aspect", aspect, ASPECTS)
    whole_number("size", size)
    whole_number("resize", resize, at_least=size if aspect == "keep" else 1)


def provide(root: Path, folders: list[str], archive: str, advice: str, url: str | None = None) -> None:
    """Make sure that `root` holds `folders`: unpack what is missing from root/archive, or otherwise from `url`.

    Raises:
        ValueError: the archive is damaged, lacks a folder, or holds a member that would land outside.
        FileNotFoundError: there is neither folder nor archive, or the download failed. It ends with `advice`.
    """
    missing = [name for name in folders if not (root / name).is_dir()]
    if not missing:
        return
    for path in (root, *(root / name for name in missing)):
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file; it must be a folder")
    if url is None and not (root / archive).is_file():
        raise FileNotFoundError(f"{root / missing[0]} is missing. {advice}.")
    root.mkdir(parents=True, exist_ok=True)
    # Everything is unpacked elsewhere first: a run cut short leaves no half-copied data set.
    with tempfile.TemporaryDirectory(dir=root) as aside:
        source = root / archive
        if not source.is_file():
            from torchvision.datasets.utils import download_url

            try:
                download_url(url, aside, filename=archive)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                raise FileNotFoundError(f"{url} cannot be downloaded ({error}). {advice}.") from error
            source = Path(aside) / archive
        unpacked = Path(aside) / "unpacked"
        unpack(source, unpacked)
        for name in missing:
            found = next((path for path in unpacked.rglob(name) if path.is_dir()), None)
            if found is None:
                raise ValueError(f"archive {source} holds no folder {name!r}")
            os.replace(found, root / name)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into `folder`.

    Raises:
        OSError: the disk is full, has less room than the archive claims to need, or cannot be written.
        ValueError: the archive is damaged, encrypted or compressed in an unknown way; or a member has an absolute
            path, a path with "..", or is a link or a device. Then nothing at all is unpacked.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                for member in opened.infolist():
                    _refuse_escape(archive, member.filename, stat.S_ISLNK(member.external_attr >> 16))
                _check_room(archive, folder, sum(member.file_size for member in opened.infolist()))
                opened.extractall(folder)
        else:
            with tarfile.open(archive) as opened:
                for member in opened:
                    _refuse_escape(archive, member.name, not (member.isfile() or member.isdir()))
                    member.mode &= 0o777
                _check_room(archive, folder, sum(member.size for member in opened))
                opened.fileobj.read(2**20)  # the checksum of a gzip comes at its end, after some padding
                # Python 3.11.0 to 3.11.3 have no filter: then only the checks of names and kinds above protect us.
                opened.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    except (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise ValueError(f"archive {archive} is damaged: {error}") from error
    except IndexError as error:  # zipfile's, of an entry without a name
        raise ValueError(f"archive {archive} is damaged: an entry has no name") from error
    except RuntimeError as error:  # it is encrypted, or compressed in a way unknown to Python
        raise ValueError(f"archive {archive} cannot be unpacked: {error}") from error
    except OSError as error:
        # These OSErrors do not come from the disk: bz2's, one name for a file and a folder, an impossible size.
        if error.errno in (None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL):
            raise ValueError(f"archive {archive} is damaged: {error}") from error
        raise


def folder_called(name: str, path: str | Path) -> Path:
    """The argument `name` as a path, or a ValueError if it is not one.

    >>> folder_called("root", None)
    Traceback (most recent call last):
    ValueError: root was None; it must be the path of a folder
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{name} was {path!r}; it must be the path of a folder")
    return Path(path).expanduser()


def _check_room(archive: Path, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if size > free:
        needs = f"{size / 2**30:,.1f} GiB once unpacked, but {folder.parent} has room for {free / 2**30:,.1f}"
        raise OSError(errno.ENOSPC, f"archive {archive} takes {needs}; nothing was unpacked")


def _refuse_escape(archive: Path, name: str, special: bool) -> None:
    path = PureWindowsPath(name)  # It splits at both slashes and knows drives.
    if special or path.anchor or ".." in path.parts:
        kind = "a link or a device" if special else "a path that leads outside"
        raise ValueError(f"archive {archive} holds {name!r}, {kind}; nothing was unpacked")
