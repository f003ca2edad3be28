"""What ours is compared with: published codes, the loops one would write first, and the bare arithmetic."""

import torch

from patchcore_edu.backbone import Backbone

try:
    from anomalib.models.components import KCenterGreedy
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel
except ImportError:
    KCenterGreedy = PatchcoreModel = None
try:
    import faiss
except ImportError:
    faiss = None

BLOCK = 2**19  # numbers per block, 2 MiB


def anomalib_coreset(vectors, size):
    """anomalib's sampler, unchanged: it always projects first, to some 230 to 330 dimensions."""
    return KCenterGreedy(vectors, (size + 0.5) / len(vectors)).select_coreset_idxs()


def anomalib_selection(vectors, size):
    """Only its greedy selection, on the same vectors as ours, without its projection."""
    sampler = KCenterGreedy(vectors, (size + 0.5) / len(vectors))
    sampler.model.fit = lambda embedding: None
    sampler.model.transform = lambda embedding: embedding
    return sampler.select_coreset_idxs()


def loop_of_differences(vectors, size):
    """Algorithm 1 as written: one pick, then the distances of all rows from it."""
    chosen = [0]
    nearest = (vectors - vectors[0]).square().sum(1)
    while len(chosen) < size:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (vectors - vectors[chosen[-1]]).square().sum(1))
    return chosen


def loop_of_products(vectors, size):
    """The same with ‖x − y‖² = ‖x‖² − 2 x·y + ‖y‖²: the fastest loop that reads all rows for every pick."""
    norms = vectors.square().sum(1)
    chosen, nearest = [], torch.full_like(norms, torch.inf)
    for _ in range(size):
        i = int(nearest.argmax())
        chosen.append(i)
        nearest = torch.minimum(nearest, torch.addmv(norms + norms[i], vectors, vectors[i], alpha=-2))
    return chosen


def bare_product(queries, vectors, step=None):
    """All inner products in blocks, and each block's minimum: a lower bound for search by matrix products."""
    step = step or max(1, BLOCK // sum(vectors.shape))
    out = torch.empty(step, len(vectors))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        torch.mm(block, vectors.T, out=out[: len(block)]).amin(1)


def faiss_search(queries, vectors):
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors.numpy())
    return index.search(queries.numpy(), 1)


@torch.inference_mode()
def bare_forward(backbone: Backbone, images, levels=(2, 3)):
    """The network's modules, up to the deepest level needed, on images that are already normalised."""
    for stage in backbone._stages[: max(levels)]:
        for module in stage:
            images = module(images)
    return images


class _OurFeatures(torch.nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images):
        phi = self.backbone(images, (2, 3))
        return {"layer2": phi[2], "layer3": phi[3]}


def anomalib_fit_predict(backbone, train, test, ratio):
    """anomalib's own model with our backbone, so that both have the same feature maps."""
    model = PatchcoreModel(layers=["layer2", "layer3"], backbone="resnet18", pre_trained=False)
    model.feature_extractor = _OurFeatures(backbone)
    model.train()
    for batch in train.split(16):
        model(batch)
    model.subsample_embedding(ratio)
    model.eval()
    return [model(batch) for batch in test.split(16)]
