"""The strip: two patches on their way through all stages, with the numbers of `PatchCore()`."""

import pytest
import torch

from patchcore_edu import aggregate, feature_maps
from patchcore_edu.explorers.machinery.photographs import model as kept_model
from patchcore_edu.explorers.machinery.photographs import photographs
from patchcore_edu.strip import STAGES, followed, plane, strip


def test_every_number_is_that_of_patchcore(backbone):
    (model, prediction), tests = kept_model(), photographs("brick", "test").dataset
    scratch = next(i for i, sample in enumerate(tests) if sample.defect == "scratch")
    good = [i for i, sample in enumerate(tests) if not sample.anomalous]
    odd = max(good, key=lambda i: prediction.score[i])
    for i, patch in zip((scratch, odd), followed(), strict=True):
        h, w = patch.place
        assert prediction.patch_distance[i].argmax() == h * 28 + w
        entry = int(prediction.nearest[i, h, w])
        assert patch.origin == (int(model.bank.image[entry]), *model.bank.position[entry].tolist())
        assert patch.distance == pytest.approx(float(prediction.patch_distance[i].max()), abs=1e-4)
        assert patch.score == pytest.approx(float(prediction.score[i]), abs=1e-4)
        torch.testing.assert_close(torch.from_numpy(patch.anomaly_map), prediction.anomaly_map[i], atol=1e-4, rtol=0)
        phi = feature_maps(tests[i].image[None], backbone)
        torch.testing.assert_close(torch.from_numpy(patch.vector), model.patches_of(phi)[0, h, w], atol=1e-3, rtol=0)
        smooth = aggregate(phi[2], 3)[0, :, h, w]
        assert (smooth - patch.mean).abs().min() < 1e-3
    worst = followed()[0].place
    assert tests[scratch].mask[worst[0] * 8 : worst[0] * 8 + 8, worst[1] * 8 : worst[1] * 8 + 8].any()


def test_the_points_are_the_patches_on_the_plane():
    points, directions = plane()
    assert points.shape == (32 * 784, 2)
    for patch in followed():
        assert patch.at == pytest.approx(patch.vector @ directions)


def test_each_stage_is_highlighted_alone_with_the_same_description():
    told = {stage: strip(stage) for stage in (None, *STAGES)}
    assert len({shown.alt.split("lit. ")[-1].split("stages. ")[-1] for shown in told.values()}) == 1
    for stage, shown in told.items():
        [ax] = shown.figure.axes
        bold = [text.get_text() for text in ax.texts if text.get_weight() == "bold"]
        assert bold == ([] if stage is None else [STAGES[stage][0]])


def test_no_text_covers_another():
    figure = strip("map").figure
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]
    assert all(figure.bbox.containsx(x) for box in boxes for x in (box.x0, box.x1))


def test_an_unknown_stage_is_refused():
    with pytest.raises(ValueError, match="stage was 'projection'; it must be one of None, 'x', 'phi'"):
        strip("projection")
