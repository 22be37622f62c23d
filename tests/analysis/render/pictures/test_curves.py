"""Learning curves: the mean over seeds, gaps, and styles that differ."""

from typing import Any

import numpy as np
import pytest
from picture_examples import lines

from analysis.base.errors import AnalysisError
from analysis.render.pictures.curves import learning_curves


def test_learning_curves_draw_the_mean_and_survive_gaps() -> None:
    values = np.array([[0.5, 0.7, np.nan], [0.7, 0.9, np.nan]])
    figure = learning_curves({"SET": values, "dense": np.ones((1, 3))})
    drawn = lines(figure, 0)
    assert drawn["SET"].get_ydata()[:2] == pytest.approx([0.6, 0.8])
    assert np.isnan(drawn["SET"].get_ydata()[2])
    assert drawn["SET"].get_linestyle() != drawn["dense"].get_linestyle()
    assert drawn["SET"].get_marker() != drawn["dense"].get_marker()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: learning_curves({}), "curves is empty"),
        (lambda: learning_curves({"a": [1.0]}), r"curves\['a'\] has shape \(1,\)"),
        (lambda: learning_curves({"a": [[np.nan]]}), "numbers of shape"),
    ],
)
def test_bad_pictures(draw: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        draw()
