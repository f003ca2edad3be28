"""Our functions and published codes side by side, in one run: python tests/benchmarks/run.py [--quick]

Prints Markdown tables. "3 ×" means three times as long as ours. The codes in one row run in turn, each in its own
process, and each ratio is taken within one repeat. The course never imports this file.
"""

import argparse
import statistics
import subprocess
import sys
import threading
import time
from functools import lru_cache, partial
from pathlib import Path

import peers
import torch
from timing import Table, in_a_new_process, machine, on_one_thread, one_core_busy, seconds, side_by_side

from patchcore_edu import PatchCore, feature_maps, greedy_coreset, load_backbone, nearest_neighbours
from patchcore_edu.datasets import PhotoTextures

MIB = 2**20


def gaussian(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def photographs(n, split="train"):
    """n different crops of brick, grass and gravel, from as many seeds as needed."""
    images, seed = [], 0
    while len(images) < n:
        for category in PhotoTextures.categories:
            images += [sample.image for sample in PhotoTextures(category, split, seed=seed)]
        seed += 1
    return torch.stack(images[:n])


def coreset(quick, repeats):
    rivals = [
        "anomalib 2.7.0",
        "anomalib without its ψ",
        "loop of differences",
        "loop of products",
        "bare matrix product",
    ]
    table = Table("Greedy coreset, eq. (5): l of N rows of d numbers", "N × d, l", rivals, repeats)
    sizes = [
        *((n, 500, 128) for n in (10_000, 50_000, 500_000)),
        *((50_000, size, 128) for size in (100, 2_000, 5_000)),
        *((50_000, 500, d) for d in (32, 152, 512)),
    ]
    for n, size, d in sizes[:2] if quick else sizes:
        vectors = gaussian(n, d)
        calls = {
            "loop of differences": partial(peers.loop_of_differences, vectors, size),
            "loop of products": partial(peers.loop_of_products, vectors, size),
            "bare matrix product": partial(peers.bare_product, vectors, vectors[:size]),
            "anomalib 2.7.0": peers.KCenterGreedy and partial(peers.anomalib_coreset, vectors, size),
            "anomalib without its ψ": peers.KCenterGreedy and partial(peers.anomalib_selection, vectors, size),
        }
        table.row(f"{n:,} × {d}, {size:,}", partial(greedy_coreset, vectors, size=size), calls)


def neighbours(quick, repeats):
    rivals = ["faiss IndexFlatL2", "bare matrix product"]
    table = Table("Nearest neighbours: q queries among N rows of d numbers", "q, N × d", rivals, repeats)
    sizes = [
        *((50_176, n, 152) for n in (600, 6_000, 50_000)),
        *((q, 6_000, 152) for q in (784, 500_000)),
        *((50_176, 6_000, d) for d in (40, 512)),
        (784, 500_000, 152),
    ]
    for q, n, d in sizes[:2] if quick else sizes:
        queries, vectors = gaussian(q, d, seed=1), gaussian(n, d)
        calls = {
            "faiss IndexFlatL2": peers.faiss and partial(peers.faiss_search, queries, vectors),
            "bare matrix product": partial(peers.bare_product, queries, vectors, step=512 if n < 10_000 else 64),
        }
        table.row(f"{q:,}, {n:,} × {d}", partial(nearest_neighbours, queries, vectors), calls)


def features(quick, repeats):
    table = Table("Feature maps, levels 2 and 3", "network, images", ["bare forward pass"], repeats)
    for name in ("efficientnet_lite0", "resnet18"):
        backbone = load_backbone(name, "pretrained" if name == "efficientnet_lite0" else None)
        for n in (16,) if quick else (1, 4, 16):
            images = photographs(n)
            ready = ((images - backbone.mean) / backbone.std).contiguous(memory_format=torch.channels_last)
            calls = {"bare forward pass": partial(peers.bare_forward, backbone, ready)}
            table.row(f"{name}, {n} × 224²", partial(feature_maps, images, backbone), calls)


def whole(quick, repeats):
    table = Table("Whole fit and predict, with one backbone", "images, part kept", ["anomalib 2.7.0"], repeats)
    backbone = load_backbone("efficientnet_lite0")
    for train, test, ratio in ((16, 16, 0.1),) if quick else ((16, 16, 0.1), (64, 40, 0.01), (64, 40, 0.1)):
        good, other = photographs(train), photographs(test, "test")
        theirs = peers.PatchcoreModel and partial(peers.anomalib_fit_predict, backbone, good, other, ratio)
        ours = partial(_fit_predict, backbone, good, other, ratio)
        table.row(f"{train} + {test}, {ratio:.0%}", ours, {"anomalib 2.7.0": theirs})


def _fit_predict(backbone, good, other, ratio):
    PatchCore(backbone, coreset_ratio=ratio, conventions="anomalib").fit(good).predict(other)


def busy(quick, repeats, row=""):
    """The same call on the idle machine and with one core busy, there with all threads and with one."""
    backbone = load_backbone("efficientnet_lite0")
    images = photographs(16)
    model = PatchCore(backbone).fit(images)
    calls = {
        "coreset, 500 of 50,000 × 128": partial(greedy_coreset, gaussian(50_000, 128), size=500),
        "search, 20,000 in 6,000 × 128": partial(nearest_neighbours, gaussian(20_000, 128, 1), gaussian(6_000, 128)),
        "features, 16 × 224²": partial(feature_maps, images, backbone),
        "features, 1 × 224²": partial(feature_maps, images[:1], backbone),
        "fit, 16 photographs, 10 %": partial(PatchCore(backbone).fit, images),
        "predict, 16 photographs": partial(model.predict, images),
        "explorer of the pipeline, a new p": _step,
    }
    if not quick:
        calls["notebook 06_coreset"] = partial(_notebook, "06_coreset")
    print(
        "\n### One core busy\n\n| what | idle | one core busy | one core busy, one thread |\n|---|---|---|---|",
        flush=True,
    )
    for what, call in ((what, call) for what, call in calls.items() if row in what):
        [idle] = side_by_side({"idle": call}, repeats).values()
        with one_core_busy():
            shared, alone = side_by_side({"shared": call, "alone": partial(on_one_thread, call)}, repeats).values()
        idle, shared, alone = map(statistics.median, (idle, shared, alone))
        print(
            f"| {what} | {idle:.3g} s | {shared:.3g} s, **{shared / idle:.2f} ×** idle, "
            f"**{shared / alone:.2f} ×** one thread | {alone:.3g} s |",
            flush=True,
        )


NEVER_SHOWN = iter((1, 2, 4, 5, 6, 7, 8, 9))  # pictures already shown are kept, and p = 3 is shown first


@lru_cache(maxsize=1)
def _pipeline():
    from patchcore_edu.explorers import Pipeline  # imports ipywidgets, which only this part needs

    return Pipeline()


def _step():
    _pipeline().state.p = next(NEVER_SHOWN)


def _notebook(name):
    path = Path(__file__).parents[2] / "notebooks" / f"{name}.ipynb"
    subprocess.run([sys.executable, "-m", "jupyter", "execute", path], check=True, capture_output=True, cwd=path.parent)


def real_rows(quick):
    """As many patches as in the largest category of a real data set: 762 images of 28 × 28 patches."""
    n = 50_000 if quick else 597_000
    model = PatchCore("efficientnet_lite0", coreset_ratio=1)
    vectors = model.fit(photographs(-(-n // 784))).bank.vectors[:n].clone()
    size = n // 100
    ours = seconds(lambda: greedy_coreset(vectors, size=size))
    bare = seconds(lambda: peers.bare_product(vectors, vectors[:size]))
    print(f"\n### Real rows\n\nCoreset of 1 % of {n:,} × {vectors.shape[1]} rows of photographs: ", end="")
    print(f"{ours:.1f} s, of which the bare matrix product is {bare:.1f} s.", flush=True)


def memory(quick):
    print("\n### Peak memory, above what the process held before\n")
    for n, ratio in ((64, 0.1),) if quick else ((64, 0.1), (640, 0.01), (640, 0.1)):
        with in_a_new_process() as worker:
            peak, allowed = worker.apply(_fit, (n, ratio))
        print(
            f"- fit of {n} images, {ratio:.0%} kept: {peak:.0f} MiB; bank and ψ(bank) are {allowed:.0f} MiB", flush=True
        )
    sizes = ((50_176, 6_000),) if quick else ((50_176, 6_000), (500_000, 6_000), (784, 500_000))
    for q, n in sizes:
        with in_a_new_process() as worker:
            peak, answer = worker.apply(_search, (q, n))
        print(f"- nearest of {n:,} × 152 for {q:,}: {peak:.0f} MiB, of which the result takes {answer:.0f}", flush=True)


def _peak(call):
    """Return the most, in MiB, that `call` adds to this process, sampled every two milliseconds. Linux only."""

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MIB

    before, seen, done = resident(), [], threading.Event()

    def watch():
        while not done.is_set():
            seen.append(resident())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return max(seen) - before


def _fit(n, ratio):
    model = PatchCore("efficientnet_lite0", coreset_ratio=ratio)
    generator = torch.Generator().manual_seed(0)
    batches = (torch.rand(16, 3, 224, 224, generator=generator) for _ in range(n // 16))
    peak = _peak(lambda: model.fit(batches))
    return peak, model.rows_before * 4 * (model.bank.vectors.shape[1] + 128) / MIB


def _search(q, n):
    queries, vectors = gaussian(q, 152, seed=1), gaussian(n, 152)
    return _peak(lambda: nearest_neighbours(queries, vectors)), q * (4 + 8) / MIB


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("coreset", "neighbours", "features", "whole", "busy", "real_rows", "memory")
    parser.add_argument("parts", nargs="*", help=f"only these: {', '.join(parts)}")
    parser.add_argument("--quick", action="store_true", help="the smaller sizes only")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--row", default="", help="in `busy`: only rows with this text in their name")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    print(f"{machine()}.")
    for part in options.parts or parts:
        function = globals()[part]
        own = () if part in ("real_rows", "memory") else (options.repeats,)
        function(options.quick, *own, *([options.row] if part == "busy" else []))


if __name__ == "__main__":
    main()
