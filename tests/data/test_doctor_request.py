"""What doctor is asked is checked before an image is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_patches.data.doctor_request import check_request, quarantine_file
from ssl_patches.data.files import QUARANTINE_COLUMNS


def asked(**more: object) -> dict[str, object]:
    return {"num_workers": 1, "overwrite": False} | more


def test_a_folder_and_no_list_are_fine(tmp_path: Path) -> None:
    assert check_request(asked(num_workers=3), str(tmp_path), quarantine_file(None)) == 3


def test_only_a_list_of_our_own_is_replaced_and_only_when_told(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    ours.write_text(",".join(QUARANTINE_COLUMNS) + "\n")
    theirs.write_text("notes\n")
    for target, overwrite in ((ours, False), (theirs, False), (theirs, True)):
        with pytest.raises(ValueError, match=r"quarantine=.*exists already"):
            check_request(asked(overwrite=overwrite), str(tmp_path), target)
    assert check_request(asked(overwrite=True), str(tmp_path), ours) == 1


@pytest.mark.parametrize(
    ("more", "root", "target", "rule"),
    [
        ({}, "nowhere", None, "does not exist"),
        ({}, "file", None, "is a file"),
        ({}, ".", "nowhere/list.csv", "there is no folder"),
        ({"num_workers": -1}, ".", None, "num_workers=-1"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_rule(
    tmp_path: Path, more: dict[str, object], root: str, target: str | None, rule: str
) -> None:
    (tmp_path / "file").write_text("")
    place = None if target is None else tmp_path / target
    with pytest.raises(ValueError, match=rule):
        check_request(asked(**more), str(tmp_path / root), place)
