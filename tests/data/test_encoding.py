"""Encodings against scikit-learn's transformers, in float64."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from steelyard._checks import InputError
from steelyard.data import Dataset, Encoding, ImageFiles, Table, TableEncoding, fit_encoding, unscaled

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
TRAIN, NEW = np.arange(0, 60), np.arange(60, 90)


def images(channels: int = 3, size: int = 7, number: int = 90) -> Dataset:
    x = torch.from_numpy(RNG.integers(0, 256, (number, channels, size, size + 1)).astype(np.uint8))
    return Dataset("images", x, torch.arange(number) % 2, ("no", "yes"))


def columns(**changes: list[Any]) -> Dataset:
    """Two numbers (the second with gaps in the training rows), two texts (the second with gaps)."""
    numeric = RNG.normal([5, -200], [3, 70], size=(90, 2))
    numeric[RNG.permutation(60)[:9], 1] = np.nan
    numeric[70, 0] = numeric[71, 1] = np.nan
    texts = RNG.choice(["arm", "leg", "back"], size=(90, 2)).astype(object)
    texts[RNG.permutation(90)[:30], 1] = None
    table = Table(numeric, ("age", "dose"), texts, ("site", "side"))
    return Dataset("columns", table, torch.arange(90) % 2, ("no", "yes"))


def test_numbers_and_texts_are_encoded_as_scikit_learn_does() -> None:
    data = columns()
    table = data.x
    encoding = fit_encoding(data, TRAIN)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()).fit(table.numeric[TRAIN])
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(table.categorical[TRAIN])
    expected = np.concatenate(
        [
            numbers.transform(table.numeric),
            np.isnan(table.numeric[:, 1:]),
            texts.transform(table.categorical),
        ],
        axis=1,
    )
    found = encoding.inputs(data)
    assert found.dtype == torch.float32
    assert found.shape == (90, *encoding.shape)
    assert encoding.shape == (
        2 + 1 + 3 + 4,
    )  # age has no gap in training: no flag; None is a category of side
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert encoding.normalise(found) is found


def test_only_training_rows_are_looked_at() -> None:
    data = columns()
    before = fit_encoding(data, TRAIN)
    data.x.numeric[NEW] = 1e9
    data.x.categorical[NEW] = "elsewhere"
    assert fit_encoding(data, TRAIN) == before
    assert (before.inputs(data)[NEW, 3:] == 0).all()  # an unknown category is none of the known ones


def test_columns_without_a_spread_or_a_value_stay_finite() -> None:
    numeric = np.stack([np.full(90, 0.1), np.full(90, np.nan)], axis=1)
    numeric[80] = [0.3, 5.0]
    data = Dataset("flat", Table(numeric, ("same", "gap")), torch.arange(90) % 2, ("no", "yes"))
    found = fit_encoding(data, TRAIN).inputs(data)
    np.testing.assert_allclose(found[TRAIN], [[0, 0, 1]] * 60, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[80], [0.2, 5, 0], rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_normalised_by_the_training_rows(channels: int) -> None:
    data = images(channels)
    encoding = fit_encoding(data, TRAIN)
    scaled = data.x.numpy().astype(np.float64) / 255
    mean, std = scaled[TRAIN].mean(axis=(0, 2, 3)), scaled[TRAIN].std(axis=(0, 2, 3))
    expected = (scaled - mean[:, None, None]) / std[:, None, None]
    assert encoding.shape == (channels, 7, 8)
    assert encoding.inputs(data) is data.x
    before = data.x.clone()
    np.testing.assert_allclose(encoding.normalise(data.x), expected, rtol=0, atol=1e-5)
    as_float = data.x.float()
    np.testing.assert_allclose(encoding.normalise(as_float), expected, rtol=0, atol=1e-5)
    assert torch.equal(as_float, before.float())


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_images_are_scaled_by_the_training_rows(bits: int) -> None:
    x = torch.from_numpy(RNG.integers(0, 2**bits, (90, 1, 7, 8)).astype(np.float32))
    x[NEW] *= 3  # new rows may reach further
    data = Dataset("deep", x, torch.arange(90) % 2, ("no", "yes"))
    encoding = Encoding.from_json(fit_encoding(data, TRAIN).to_json())
    images = encoding.inputs(data)
    assert isinstance(images, torch.Tensor)
    seen, known = encoding.normalise(images).double(), x.double()
    torch.testing.assert_close(
        seen, (known - known[TRAIN].mean()) / known[TRAIN].std(correction=0), rtol=1e-5, atol=1e-5
    )
    between = unscaled(data, TRAIN).normalise(images)
    low, high = known[TRAIN].min(), known[TRAIN].max()
    torch.testing.assert_close(between.double(), (known - low) / (high - low), rtol=1e-5, atol=1e-6)


def test_depth_is_as_in_training() -> None:
    deep = Dataset("deep", torch.rand(90, 1, 7, 8) * 4095, torch.arange(90) % 2, ("no", "yes"))
    grey = images(channels=1)
    for known, new, came in ((deep, grey, "got 8 bits"), (grey, deep, "got more than 8 bits")):
        with pytest.raises(InputError, match=came):
            fit_encoding(known, TRAIN).check(new)


def test_black_images_stay_finite() -> None:
    data = Dataset("black", torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.arange(4) % 2, ("no", "yes"))
    assert (fit_encoding(data, np.arange(4)).normalise(data.x) == 0).all()


def test_files_are_measured_like_the_images_they_hold(tmp_path: Path) -> None:
    data = images(number=8)
    paths = [tmp_path / f"{row}.png" for row in range(8)]
    for path, image in zip(paths, data.x.numpy(), strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    files = Dataset("files", ImageFiles(np.array(paths, dtype=object), 3, (7, 8)), data.target, data.classes)
    encoding = fit_encoding(files, np.arange(5))
    assert encoding == fit_encoding(data, np.arange(5))
    assert encoding.inputs(files) is files.x


@pytest.mark.parametrize("data", [images(), columns()], ids=["images", "table"])
def test_json_keeps_everything(data: Dataset) -> None:
    encoding = fit_encoding(data, TRAIN)
    text = encoding.to_json()
    assert isinstance(json.loads(text), dict)
    again = Encoding.from_json(text)
    assert again == encoding
    assert again.classes == ("no", "yes")
    assert torch.equal(again.normalise(again.inputs(data)), encoding.normalise(encoding.inputs(data)))


def test_targets_are_numbered_as_in_training() -> None:
    data = images()
    encoding = fit_encoding(data, TRAIN)
    swapped = Dataset("swapped", data.x, data.target, ("yes", "no"))
    assert encoding.target(data).equal(data.target)
    assert encoding.target(swapped).equal(1 - data.target)
    assert encoding.target(Dataset("new", data.x, data.target * 0 - 1, ())).equal(data.target * 0 - 1)
    with pytest.raises(InputError, match=r"unknown class 'yess'. Did you mean 'yes'"):
        encoding.target(Dataset("odd", data.x, data.target, ("no", "yess")))


def test_new_tables_may_have_more_columns_in_another_order() -> None:
    data = columns()
    encoding = fit_encoding(data, TRAIN)
    old = data.x
    table = Table(
        np.stack([old.numeric[:, 1], np.zeros(90), old.numeric[:, 0]], axis=1), ("dose", "extra", "age"),
        old.categorical[:, ::-1], ("side", "site"),
    )  # fmt: skip
    new = Dataset("new", table, data.target, data.classes)
    encoding.check(new)
    assert torch.equal(encoding.inputs(new), encoding.inputs(data))


def test_a_column_that_is_empty_throughout_is_missing_whatever_its_kind() -> None:
    data = columns()
    encoding = fit_encoding(data, TRAIN)
    old = data.x
    texts = np.concatenate([old.categorical, np.full((90, 1), None)], axis=1)
    new = Dataset(
        "new", Table(old.numeric[:, :1], ("age",), texts, ("site", "side", "dose")), data.target, ("a", "b")
    )
    found = encoding.inputs(new)
    assert (found[:, 2] == 1).all()  # flagged
    gap = Table(old.numeric * [1, np.nan], old.numeric_names, old.categorical, old.categorical_names)
    assert torch.equal(found, encoding.inputs(Dataset("gap", gap, data.target, ("a", "b"))))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Table(np.zeros((90, 1)), ("age",)), "new: lacks the columns dose, site, side, which training had"),
        (
            Table(
                np.zeros((90, 3)), ("age", "dose", "site"), np.full((90, 1), "arm", dtype=object), ("side",)
            ),
            "new, column site: expected texts, as in training",
        ),
        (
            Table(
                np.zeros((90, 1)), ("age",), np.full((90, 3), "arm", dtype=object), ("dose", "side", "site")
            ),
            "new, column dose: expected numbers, as in training",
        ),
    ],
)
def test_tables_that_do_not_fit_are_refused(table: Table, message: str) -> None:
    encoding = fit_encoding(columns(), TRAIN)
    new = Dataset("new", table, torch.arange(90) % 2, ("no", "yes"))
    for attempt in (encoding.check, encoding.inputs):
        with pytest.raises(InputError, match=message):
            attempt(new)


def test_images_that_do_not_fit_are_refused() -> None:
    of_images, of_columns = fit_encoding(images(), TRAIN), fit_encoding(columns(), TRAIN)
    assert isinstance(of_columns, TableEncoding)
    with pytest.raises(InputError, match="expected images, as in training, got a table"):
        of_images.check(columns())
    with pytest.raises(InputError, match="expected a table, as in training, got images"):
        of_columns.check(images())
    with pytest.raises(InputError, match=r"\(3, 7, 8\), as in training, got \(3, 9, 10\)"):
        of_images.check(images(size=9))
    with pytest.raises(InputError, match=r"\(1, 7, 8\), as in training, got \(3, 7, 8\)"):
        fit_encoding(images(channels=1), TRAIN).inputs(images())


def test_a_model_of_colours_sees_grey_as_equal_parts_of_them() -> None:
    grey = images(channels=1)
    assert isinstance(grey.x, torch.Tensor)
    seen = fit_encoding(images(), TRAIN).inputs(grey)
    assert isinstance(seen, torch.Tensor)
    assert seen.equal(torch.cat([grey.x] * 3, dim=1))


def test_what_cannot_be_learnt_from_is_refused() -> None:
    with pytest.raises(InputError, match="expected training rows, got none"):
        fit_encoding(images(), np.arange(0))
    texts = np.array([[f"t{row}"] for row in range(1200)], dtype=object)
    many = Dataset(
        "many", Table(np.zeros((1200, 0)), (), texts, ("free",)), torch.arange(1200) % 2, ("no", "yes")
    )
    with pytest.raises(InputError, match="column free: 1100 different texts"):
        fit_encoding(many, np.arange(1100))
