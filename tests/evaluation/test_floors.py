"""Rows of floors are kept under what they depend on."""

import os

import torch
from torch import nn

from ssl_patches.evaluation import floors
from ssl_patches.evaluation.rows import Row


def test_the_digest_sees_weights_buffers_and_structure():
    plain = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU())
    before = floors.digest(plain)
    plain[1].running_mean[0] = 1e-6
    after = floors.digest(plain)
    plain[2] = nn.GELU()
    assert len({before, after, floors.digest(plain)}) == 3


ANSWERS = {"knn20": torch.tensor([2, 0, 300]), "values": torch.rand(3), "scores": torch.rand(3, 2)}
ROWS = [Row("random_init", "toy", "knn20_top1", 10.0, 9.0, 11.0, 100)]


def test_rows_are_found_under_their_key_only_and_damage_is_no_answer(tmp_path):
    floors.keep_floors(tmp_path, {"data": "a"}, ROWS, ANSWERS)
    assert floors.read_floors(tmp_path, {"data": "a"}) == ROWS
    assert floors.read_floors(tmp_path, {"data": "b"}) is None
    (file,) = tmp_path.iterdir()
    file.write_text("{")
    assert floors.read_floors(tmp_path, {"data": "a"}) is None


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    assert not floors.make_folder(tmp_path / "file" / "folder")
    assert floors.make_folder(tmp_path / "folder")
    left = tmp_path / "folder" / ".cell.npz.0123abcd.half"
    left.write_bytes(b"torn")
    os.utime(left, (0, 0))
    assert floors.make_folder(tmp_path / "folder")
    assert not left.exists()


def test_kept_rows_are_given_under_todays_name_of_the_data(tmp_path):
    floors.keep_floors(tmp_path, {"data": "a"}, ROWS, {})
    keys = {("random_init", "knn"): {"data": "a"}, ("raw_pixels", "knn"): {"data": "b"}}
    ((which, (row,)),) = floors.recalled(tmp_path, keys, "renamed").items()
    assert (which, row.data, row.value) == (("random_init", "knn"), "renamed", 10.0)
    assert floors.recalled(None, keys, "renamed") == {}


def test_predicted_classes_are_kept_and_collected_whether_fresh_or_kept(tmp_path):
    """Those of images only: scores and values take more room."""
    key = {"data": "a"}
    floors.keep_floors(tmp_path, key, ROWS, ANSWERS)
    assert floors.read_predictions(tmp_path, key)["knn20"].equal(ANSWERS["knn20"])
    assert floors.read_predictions(tmp_path, {"data": "b"}) == {}
    fresh = {("raw_pixels", "linear"): {"linear": torch.tensor([1, 1, 0])}, ("trained", "knn"): {}}
    found = floors.collected(tmp_path, {("random_init", "knn"): key}, fresh)
    assert {floor: list(some) for floor, some in found.items()} == {
        "raw_pixels": ["linear"],
        "random_init": ["knn20"],
    }
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace("2 0 300", "2 x"))
    assert floors.read_predictions(tmp_path, key) == {}
