"""The package's own functions as ONNX graphs, which a browser can run. No equation is written a second time here.

All functions are traced in one export, with every setting that the page offers; each is then extracted as a graph.
"""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from itertools import product
from unittest.mock import patch

import torch
from torch.nn.functional import interpolate

from patchcore_edu import anomaly_score
from patchcore_edu.aggregation import aggregate
from patchcore_edu.anomaly_map import anomaly_map
from patchcore_edu.anomaly_score import image_score, max_patch_score
from patchcore_edu.backbone import Backbone
from patchcore_edu.feature_map import feature_maps
from patchcore_edu.patch_set import patch_set

SIDE = 224  # pixels of an image
P, BORDERS, S, SIGMAS = (1, 3, 5, 7, 9), ("zero", "clip", "valid"), (1, 2, 3, 4), (0, 1, 2, 4, 8, 12)
Arrays = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Part:
    """A function to export.

    Attributes:
        name: of its graph.
        function: takes tensors and returns {name: tensor}.
        inputs: an example of each input, by name.
        free: for each input the axes that may have any length, {axis: name}; axes of one name are equally long.
    """

    name: str
    function: Callable[..., Arrays]
    inputs: Arrays
    free: dict[str, dict[int, str]] = field(default_factory=dict)


def export(backbone: Backbone) -> dict[str, bytes]:
    """Every graph of the playground: {name: an ONNX file's bytes}.

    "phi": image → phi1, phi2, phi3. "phi4": phi3 → phi4, separate because few need it and it holds most weights.
    The others are listed at the functions below.
    """
    levels = (1, 2, 3, 4)

    def phi(image: torch.Tensor) -> Arrays:
        return {f"phi{j}": phi_j for j, phi_j in feature_maps(image, backbone, levels).items()}

    network = Part("network", phi, {"image": torch.rand(1, 3, SIDE, SIDE)})
    model, _ = _trace([network])
    graphs = {
        "phi": _cut(model, "network", ["image"], ["phi1", "phi2", "phi3"]),
        "phi4": _cut(model, "network", ["phi3"], ["phi4"]),
    }
    for group in (patch_set_parts(), bank_parts(), picture_parts()):
        group = list(group)
        with patch.object(anomaly_score, "nearest_neighbours", nearest):
            model, outputs = _trace(group)
        graphs |= {part.name: _cut(model, part.name, part.inputs, outputs[part.name]) for part in group}
    graphs["score"] = _with_free_b(graphs["score"])
    return {name: graph.SerializeToString() for name, graph in graphs.items()}


def patch_set_parts() -> Iterator[Part]:
    """Eqs. (1) to (3): `patch_set` in three steps, for any number of images, channels and cells.

    "aggregate_p{p}_{border}": phi_j → aggregated. "merge_{how many levels}": level0, level1, … → patches with s = 1.
    "stride_{s}" for larger s: these → patches. With p = 1, `patch_set` only merges or strides.
    """
    cells = {0: "n", 2: "height", 3: "width"}
    for p, border in product(P, BORDERS):
        function = partial(lambda phi_j, p, border: {"aggregated": aggregate(phi_j, p, border)}, p=p, border=border)
        yield Part(
            f"aggregate_p{p}_{border}", function, {"phi_j": torch.rand(2, 5, 20, 21)}, {"phi_j": {1: "c", **cells}}
        )
    for count in (1, 2, 3, 4):
        inputs = {f"level{i}": torch.rand(2, 5 + i, 40 - 6 * i, 41 - 6 * i) for i in range(count)}
        free = {name: {0: "n", 1: f"c{i}", 2: f"height{i}", 3: f"width{i}"} for i, name in enumerate(inputs)}
        yield Part(f"merge_{count}", lambda *levels: {"patches": patch_set(dict(enumerate(levels)), 1)}, inputs, free)
    for s in S[1:]:
        function = partial(lambda merged, s: {"patches": patch_set({0: merged.permute(0, 3, 1, 2)}, 1, s)}, s=s)
        free = {"merged": {0: "n", 1: "h", 2: "w", 3: "d"}}
        yield Part(f"stride_{s}", function, {"merged": torch.rand(2, 20, 21, 5)}, free)


def bank_parts() -> Iterator[Part]:
    """Algorithm 1, eqs. (6) and (7).

    "psi": vectors, weights → projected. "search": queries, vectors → distance, index. "score" and "score_b1": patches,
    vectors, distance, index, and for "score" b → score, s_star, patch, support, the rows of N_b(m*) from m* on, and
    reach, how far they are from the test patch.
    """
    rows = {0: "N", 1: "d"}
    yield Part(
        "psi",
        lambda vectors, weights: {"projected": vectors @ weights},
        {"vectors": torch.rand(31, 5), "weights": torch.rand(5, 4)},
        {"vectors": rows, "weights": {0: "d", 1: "dim"}},
    )
    yield Part(
        "search",
        lambda queries, vectors: dict(zip(("distance", "index"), nearest(queries, vectors), strict=True)),
        {"queries": torch.rand(9, 5), "vectors": torch.rand(32, 5)},
        {"queries": {0: "q", 1: "d"}, "vectors": rows},
    )
    grid = {1: "height", 2: "width"}
    free = {"patches": {**grid, 3: "d"}, "vectors": rows, "distance": grid, "index": grid}
    for name, b in (("score", TRACED_B), ("score_b1", 1)):
        inputs = {"patches": torch.rand(1, 6, 7, 5), "vectors": torch.rand(33 + b, 5)}
        inputs |= {"distance": torch.rand(1, 6, 7), "index": torch.randint(33, (1, 6, 7))}
        yield Part(name, partial(_score, b=b), inputs, free)


def picture_parts() -> Iterator[Part]:
    """§3.3 and the resizing of photographs. "map_sigma{σ}": distance → map. "resize": image, and an array of the wanted
    size → resized."""
    for sigma in SIGMAS:
        distance = torch.rand(1, 6, 7)
        anomaly_map(distance, SIDE, sigma)  # caches the filter's matrix: SciPy computes it, which no export can trace
        function = partial(lambda distance, sigma: {"map": anomaly_map(distance, SIDE, sigma)}, sigma=sigma)
        yield Part(f"map_sigma{sigma}", function, {"distance": distance}, {"distance": {1: "h", 2: "w"}})
    yield Part(
        "resize",
        lambda image, size: {
            "resized": interpolate(image, list(size.shape), mode="bilinear", antialias=True).clamp(0, 1)
        },
        {"image": torch.rand(1, 3, 40, 50), "size": torch.rand(25, 26)},
        {"image": {2: "H", 3: "W"}, "size": {0: "h", 1: "w"}},
    )


def nearest(queries: torch.Tensor, vectors: torch.Tensor, k: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """`nearest_neighbours` without threads, blocks and float64, so that it can be exported. A test compares the two."""
    shift = vectors[:1]
    v = vectors - shift
    ranking = v.square().sum(1) - 2 * (queries - shift) @ v.T
    index = ranking.argmin(1, keepdim=True) if k == 1 else ranking.topk(k, largest=False).indices
    distance = (vectors[index] - queries[:, None]).square().sum(2).sqrt()
    return distance, index


TRACED_B = 9  # an example; see `_with_free_b`


def _score(patches: torch.Tensor, vectors: torch.Tensor, distance: torch.Tensor, index: torch.Tensor, b: int) -> Arrays:
    s_star, patch = max_patch_score(distance)
    m_test, row = patches.flatten(1, 2)[torch.arange(1), patch], index.flatten(1)[torch.arange(1), patch]
    score = image_score(patches, vectors, b, (distance, index))
    support = nearest(vectors[row], vectors, b)[1][0]
    reach, order = nearest(m_test, vectors[support], b)
    return {"score": score, "s_star": s_star, "patch": patch, "support": support[order], "reach": reach}


def _with_free_b(graph):
    """The graph of the score, with b as an input instead of the example's constant, which only its searches use."""
    from onnx import TensorProto, helper

    searches = [node for node in graph.graph.node if node.op_type == "TopK"]
    if not searches:
        raise ValueError("the graph of the score has no search for neighbours")
    for node in searches:
        node.input[1] = "b"
    graph.graph.input.append(helper.make_tensor_value_info("b", TensorProto.INT64, [1]))
    return graph


class _Together(torch.nn.Module):
    def __init__(self, parts: list[Part]):
        super().__init__()
        self.parts = parts

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        waiting, outputs = iter(inputs), []
        for part in self.parts:
            outputs += part.function(*(next(waiting) for _ in part.inputs)).values()
        return tuple(outputs)


def _trace(parts: list[Part]) -> tuple:
    """All parts in one onnx.ModelProto, and each part's names of outputs. A tensor's name there is "part.name"."""
    inputs = {f"{part.name}.{name}": value for part in parts for name, value in part.inputs.items()}
    axes = {}
    shapes = []
    for part in parts:
        for name in part.inputs:
            free = part.free.get(name, {})
            shapes.append({k: axes.setdefault((part.name, axis), torch.export.Dim.DYNAMIC) for k, axis in free.items()})
    with torch.no_grad():
        outputs = {part.name: list(part.function(*part.inputs.values())) for part in parts}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")  # about what PyTorch plans to change
        program = torch.onnx.export(
            _Together(parts),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=[f"{part}.{name}" for part, names in outputs.items() for name in names],
            dynamic_shapes=(tuple(shapes),),
            dynamo=True,
            verbose=False,
        )
    return program.model_proto, outputs


def _cut(model, part: str, inputs: Iterable[str], outputs: Iterable[str]):
    """Everything between a part's inputs and outputs, as a separate onnx.ModelProto without the trace's metadata."""
    from onnx.utils import Extractor

    dot = f"{part}."
    cut = Extractor(model).extract_model([dot + name for name in inputs], [dot + name for name in outputs])
    for node in cut.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        node.input[:] = [name.removeprefix(dot) for name in node.input]
        node.output[:] = [name.removeprefix(dot) for name in node.output]
    for value in (*cut.graph.input, *cut.graph.output):
        value.name = value.name.removeprefix(dot)
    _simplify(cut.graph)
    del cut.graph.value_info[:], cut.graph.metadata_props[:], cut.metadata_props[:], cut.functions[:]
    return cut


def _simplify(graph) -> None:
    """Fewer additions for the same means, and constants in the type in which they are used."""
    from onnx import TensorProto, helper
    from onnx.numpy_helper import from_array, to_array

    constants = {constant.name: constant for constant in graph.initializer}
    nodes = []
    for node in graph.node:
        known = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "AveragePool" and known["kernel_shape"] == [1, 1]:
            nodes.append(helper.make_node("Identity", node.input, node.output))
        elif node.op_type == "AveragePool":
            # Whatever the border, the mean over p × p cells is the mean along rows of the means along columns.
            (p, _), (top, left, bottom, right) = known["kernel_shape"], known["pads"]
            between = [f"{node.output[0]}_down"]
            down = known | {"kernel_shape": [p, 1], "pads": [top, 0, bottom, 0]}
            across = known | {"kernel_shape": [1, p], "pads": [0, left, 0, right]}
            nodes.append(helper.make_node("AveragePool", node.input, between, **down))
            nodes.append(helper.make_node("AveragePool", between, node.output, **across))
        elif node.op_type == "Cast" and node.input[0] in constants and known["to"] == TensorProto.FLOAT:
            constant = constants[node.input[0]]
            constant.CopyFrom(from_array(to_array(constant).astype("float32"), constant.name))
            nodes.append(helper.make_node("Identity", node.input, node.output))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
