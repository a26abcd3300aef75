"""What is installed is enough: the wheel, in an environment of its own and outside the repository,
lists and trains."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from small import REPOSITORY, SMALL

NAMES = {
    str(file.relative_to(REPOSITORY / "conf")) for file in (REPOSITORY / "conf").rglob("*.yaml")
}


def run(command: list[str | Path], **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=300, **options
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """The wheel and the source distribution, built offline."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", folder],
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The python of an environment that holds the wheel, and sees everything else where it lies:
    nothing is downloaded.

    The line of the .pth comes after the environment's own folder on sys.path, and lines of .pth
    files found through it are not read, so the copy of the wheel is the only ssl_patches.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    scheme = {"base": str(home), "platbase": str(home)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    with zipfile.ZipFile(built["wheel"]) as wheel:
        wheel.extractall(site)
    (site / "elsewhere.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Path(sysconfig.get_path("scripts", "venv", vars=scheme)) / "python"


@pytest.fixture
def outside(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def test_the_wheel_holds_every_module_and_every_yaml_and_nothing_else(built):
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    modules = {
        str(file.relative_to(REPOSITORY)) for file in (REPOSITORY / "ssl_patches").rglob("*.py")
    }
    page = {
        f"ssl_patches/studies/compare/report/page.{kind}" for kind in ("css", "html.jinja", "js")
    }
    page |= {f"ssl_patches/studies/view/{name}" for name in ("map.js", "view.css")}
    page.add("ssl_patches/py.typed")
    assert names == modules | page | {f"ssl_patches/conf/{name}" for name in NAMES}


def test_the_source_distribution_builds_the_same_wheel(built, tmp_path):
    with tarfile.open(built["sdist"]) as archive:
        archive.extractall(tmp_path, filter="data")
    source = next(tmp_path.iterdir())
    assert {
        "ssl_patches",
        "conf",
        "tests",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "hatch_build.py",
    } <= {p.name for p in source.iterdir()}
    done = run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again"],
        cwd=source,
    )
    assert done.returncode == 0, done.stderr
    with (
        zipfile.ZipFile(built["wheel"]) as one,
        zipfile.ZipFile(next((tmp_path / "again").glob("*.whl"))) as other,
    ):
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_the_copy_that_is_imported_is_the_wheels(installed, outside):
    code = (
        "import ssl_patches.config.files as c, sys; print(c.__file__); print(c.conf_dir());"
        " print('torch' in sys.modules)"
    )
    module, conf, torch = run([installed, "-c", code]).stdout.split()
    home = str(installed.parent.parent)
    assert module.startswith(home)
    assert conf.startswith(home)
    assert torch == "False"


def test_the_script_of_the_wheel_lists_the_tasks(installed, outside):
    entry = next((installed.parent.parent).rglob("entry_points.txt")).read_text()
    assert "ssl-patches = ssl_patches.cli:main" in entry
    done = run(
        [
            installed,
            "-c",
            "import sys; from ssl_patches.cli import main; sys.exit(main(['list', 'tasks']))",
        ]
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == sorted(
        f"task={name.removeprefix('task/').removesuffix('.yaml')}"
        for name in NAMES
        if name.startswith("task/")
    )


def test_the_wheel_trains_exports_and_evaluates_outside_the_repository(installed, outside):
    done = run(
        [installed, "-m", "ssl_patches", "pretrain", *SMALL, "callbacks=none", "run_dir=run"],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    assert (outside / "run" / "encoder" / "model.safetensors").is_file()
    assert "trained" in done.stdout
    assert {path.name for path in outside.iterdir()} <= {"run", ".floors", ".claims"}
