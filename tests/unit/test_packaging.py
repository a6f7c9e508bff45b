"""What is built holds the whole package and nothing else; nothing imports a bare room."""

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROOMS = ("engine", "atlas", "classifier")
SKIPPED = {"__pycache__", ".DS_Store"}

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="runs from the source tree only"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Folder with the sdist, and the wheel built from it with the hatchling that is installed."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def tracked() -> list[Path]:
    """Files below the root, as git knows them or else as they lie there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    return [file.relative_to(ROOT) for file in ROOT.rglob("*") if file.is_file()]


def package_files() -> set[str]:
    """Module and data files, by the path that they have when installed."""
    found = set()
    for file in tracked():
        if SKIPPED & set(file.parts) or (ROOT / file).is_dir():
            continue
        if file.parts[0] in ROOMS:
            found.add(f"peakatlas/{file.as_posix()}")
        elif file.parts[0] == "peakatlas":
            found.add(file.as_posix())
    return found


def test_wheel_holds_the_package_and_only_that(built):
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    files = {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in files} == {"peakatlas"}
    assert package_files() <= files
    assert not [name for name in files if "__pycache__" in name]


def test_wheel_names_the_command(built):
    wheel = zipfile.ZipFile(next(built.glob("*.whl")))
    entry = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "peakatlas = peakatlas.cli.main:main" in wheel.read(entry).decode()


def test_sdist_holds_what_the_wheel_is_built_from(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {file.as_posix() for file in tracked() if file.parts[0] in (*ROOMS, "peakatlas")}
    links = {f"peakatlas/{room}" for room in ROOMS}  # only the source tree needs them
    assert wanted - links <= names


def test_nothing_imports_a_bare_room():
    bare = []
    for file in tracked():
        if file.suffix != ".py":
            continue
        for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            bare += [f"{file}: {name}" for name in names if name.partition(".")[0] in ROOMS]
    assert not bare


def test_files_keep_to_the_house_limits():
    long = [
        f"{file}: {lines} lines"
        for file in tracked()
        if file.suffix == ".py" and file.parts[0] in (*ROOMS, "peakatlas")
        if (lines := len((ROOT / file).read_text("utf-8").splitlines())) > 400
    ]
    assert not long


def test_the_conda_recipe_lists_what_pip_installs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    recipe = yaml.safe_load(
        re.sub(
            r"\$\{\{[^}]*\}\}", "x", (ROOT / "packaging" / "conda-recipe.yaml").read_text("utf-8")
        )
    )
    here = {line.split()[0].replace("_", "-") for line in recipe["requirements"]["run"]}
    wanted = {re.split("[<>=]", name)[0] for name in project["dependencies"]}
    wanted = {"pytorch" if name == "torch" else name for name in wanted}
    assert wanted <= here
