"""Statistics of inputs against numpy and scikit-learn, what they refuse, and that they see training data alone."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from netsci_nn import ConfigError, DataError
from netsci_nn.data import input_statistic, load_dataset

rng = np.random.default_rng(0)
y = rng.integers(0, 3, size=400)
x = np.column_stack([rng.random(400), (y == 1) * 0.5 + 0.1 * rng.random(400), np.full(400, 0.3), rng.random(400) ** 4])


def test_mean_variance_and_the_control() -> None:
    np.testing.assert_allclose(input_statistic("mean", x, y), x.mean(axis=0))
    np.testing.assert_allclose(input_statistic("variance", x, y), [x[:, 0].var(), x[:, 1].var(), 0, x[:, 3].var()])
    assert input_statistic("not_constant", x, y).tolist() == [1, 1, 0, 1]


def test_label_correlation_is_the_largest_over_classes() -> None:
    expected = [max(abs(np.corrcoef(x[:, i], y == label)[0, 1]) for label in range(3)) for i in (0, 1, 3)]
    np.testing.assert_allclose(input_statistic("label_correlation", x, y)[[0, 1, 3]], expected)
    assert input_statistic("label_correlation", x, y)[2] == 0


def test_mutual_information_of_binned_features() -> None:
    bins = np.minimum((x[:, 1] - x[:, 1].min()) / np.ptp(x[:, 1]) * 16, 15).astype(int)
    result = input_statistic("mutual_information", x, y)
    assert result[1] == pytest.approx(mutual_info_score(bins, y))
    assert result[2] == 0
    assert result[1] > 5 * result[0]


@pytest.mark.parametrize("name", ["mean", "variance", "label_correlation", "mutual_information", "not_constant"])
def test_standardised_inputs_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="x_train was standardised"):
        input_statistic(name, (x[:, [0, 1, 3]] - x[:, [0, 1, 3]].mean(axis=0)) / x[:, [0, 1, 3]].std(axis=0), y)


def test_other_bad_input() -> None:
    with pytest.raises(DataError, match="the mean of feature 0 is -"):
        input_statistic("mean", x - 1, y)
    with pytest.raises(DataError, match="x_train has shape"):
        input_statistic("mean", x[:-1], y)
    with pytest.raises(DataError, match="NaN"):
        input_statistic("mean", np.where(x > 0.9, np.nan, x), y)
    with pytest.raises(ConfigError, match="unknown statistic 'median'"):
        input_statistic("median", x, y)


def test_experiments_use_the_training_split_alone() -> None:
    from dataclasses import replace
    from functools import partial

    from netsci_nn.experiment.build import _build_generator
    from netsci_nn.experiment.config import GeneratorConfig

    digits = load_dataset("digits")
    shifted = replace(digits, x_test=digits.x_test + 5)
    for statistic in ("mean", "variance"):
        choice = GeneratorConfig.model_validate({"name": "input_weighted", "statistic": statistic})
        generators = [_build_generator(choice, dataset) for dataset in (digits, shifted)]
        assert all(isinstance(generator, partial) for generator in generators)
        weights = [generator.keywords["weights"] for generator in generators]  # type: ignore[attr-defined]
        np.testing.assert_array_equal(*weights)
        np.testing.assert_allclose(weights[0], input_statistic(statistic, digits.x_train, digits.y_train))
