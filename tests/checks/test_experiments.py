"""`check.experiment` compares a learner's number with the package's, and each notebook asks for its numbers."""

import json
import re
from pathlib import Path

import pytest

from patchcore_edu import checks as check
from patchcore_edu.checks.experiments import EXPERIMENTS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_package_s_own_number_is_right_and_the_error_of_others_is_reported(name):
    expected = EXPERIMENTS[name].answer()
    assert check.experiment(name, expected).passed
    large, small = check.experiment(name, 2 * expected + 1), check.experiment(name, expected / 2 - 1)
    assert large.says.endswith("too large") and small.says.endswith("too small")
    assert large.rows["off by"].startswith(f"{expected + 1:.3g}")


def test_no_number_yet_and_no_number_at_all():
    assert check.experiment("09 ex. 3", None).mark == "○"
    with pytest.raises(ValueError, match="number was 'many'"):
        check.experiment("09 ex. 3", "many")
    with pytest.raises(ValueError, match="name was '09 ex\\. 9'"):
        check.experiment("09 ex. 9", 1)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_notebook_asks_for_the_number(name):
    [notebook] = NOTEBOOKS.glob(f"{name[:2]}_*.ipynb")
    sources = ["".join(cell["source"]) for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
    [asked] = [i for i, source in enumerate(sources) if f'check.experiment("{name}"' in source]
    exercises = re.findall(r"^\*\*(\d)\. ", "\n".join(sources[:asked]), flags=re.MULTILINE)
    assert exercises == [str(i + 1) for i in range(int(name[-1]))]
