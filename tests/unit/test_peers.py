"""The driver of the peers: what a peer gets to see, what it answers, how that is scored."""

import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TRUTH = np.array(["B", "T", "B", "T", "NK", "B", "T"])
FAKE = """
import sys
sys.path.insert(0, {peers!r})
import numpy as np
from exchange import read_job, write_labels

job = read_job()
assert list(job.query.obs.columns) == [] and list(job.query.uns) == [], "secrets"
nearest = np.asarray((job.query.X @ job.reference.X.T).argmax(axis=1)).ravel()
labels = job.reference.obs["cell_type"].to_numpy()[nearest]
write_labels(job, label=labels, seeded=[f"B{{job.seed}}"] * job.query.n_obs)
"""


@pytest.fixture(scope="module")
def peers():
    """The driver, which is a script in a folder of its own."""
    before = list(sys.path)
    sys.path.insert(0, str(BENCHMARKS / "peers"))
    try:
        import run  # noqa: PLC0415 (imports torch)
    finally:
        sys.path[:] = before
    return run


@pytest.fixture
def split(peers):
    """Each type has a peak of its own; the last query cell is open in that of another type."""
    peak = np.array([0, 1, 0, 1, 2, 0, 0])
    counts = sp.csr_matrix((np.arange(1, 8), (np.arange(7), peak)), shape=(7, 4), dtype=np.int16)
    obs = pd.DataFrame({"cell_type": TRUTH, "batch": TRUTH}, index=[f"{t}-1" for t in TRUTH])
    obs.index = [f"{name}-{row}" for row, name in enumerate(obs.index)]
    cells = ad.AnnData(counts, obs=obs, uns={"types": list(TRUTH)}, obsm={"umap": np.eye(7)})
    dataset = peers.Dataset(cells=cells, peaks_fasta=None)
    rows = {"reference": np.array([1, 2, 4]), "query": np.array([0, 3, 5, 6])}
    return dataset, peers.Split(**rows)


def test_a_side_holds_counts_and_numbered_cells_only(peers, split, tmp_path):
    _, query = split[1].sides(split[0])
    peers.write_side(query, tmp_path / "query.h5ad", "q", None)
    written = ad.read_h5ad(tmp_path / "query.h5ad")
    assert list(written.obs_names) == ["q0", "q1", "q2", "q3"]
    assert written.obs.shape[1] == written.var.shape[1] == 0
    assert len(written.uns) == len(written.obsm) == len(written.layers) == 0
    assert written.X.dtype == np.float32
    assert written.X.toarray().tolist() == query.X.toarray().tolist()


def test_a_peer_answers_for_the_query_and_is_scored(peers, split, tmp_path):
    fake = tmp_path / "fake.py"
    fake.write_text(FAKE.format(peers=str(BENCHMARKS / "peers")))
    figures = peers.score_repeat(Path(sys.executable), fake, split[0], [split[1]], 5)
    assert figures["accuracy"] == 0.75
    # B: 2 of 3 found are right and all 2; T: 1 of 2 is found; NK is not in the query
    assert figures["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert figures["seeded_accuracy"] == 0.0
    assert figures["seconds"] > 0


def test_a_failing_peer_is_named_with_its_last_words(peers, split, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no such layer')")
    with pytest.raises(SystemExit, match=r"broken.py failed with 1(.|\n)*no such layer"):
        peers.ask(Path(sys.executable), broken, split, 0)


def test_labels_in_another_order_are_refused(peers, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("cell,label\nq1,B\nq0,NA\n")
    with pytest.raises(ValueError, match="found 2 beginning with q1, q0"):
        peers.read_labels(table, "q", 2)
    table.write_text("cell,label\nq0,B\nq1,NA\n")
    assert peers.read_labels(table, "q", 2)["label"].tolist() == ["B", "NA"]


def test_a_peer_gets_no_packages_of_ours(peers, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/ours")
    kept = peers.surroundings(tmp_path)
    assert "PYTHONPATH" not in kept
    assert kept["MPLBACKEND"] == "Agg"
    assert "PATH" in kept


def test_an_environment_is_made_once_for_its_requirements(peers, tmp_path, monkeypatch):
    environment = sys.modules["environment"]
    made = []
    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environment.venv, "create", lambda place, **_: place.mkdir(parents=True))
    monkeypatch.setattr(environment.subprocess, "run", lambda *_, **o: made.append(o["input"]))
    (tmp_path / "tool.txt").write_text("tool==1\n")
    expected = tmp_path / "envs" / "tool" / "bin" / "python"
    assert environment.interpreter("tool", tmp_path / "envs") == expected
    environment.interpreter("tool", tmp_path / "envs")
    assert made == ["tool==1\n"]
    (tmp_path / "tool.txt").write_text("tool==2\n")
    environment.interpreter("tool", tmp_path / "envs")
    assert made == ["tool==1\n", "tool==2\n"]


def test_a_failed_install_is_not_taken_for_an_environment(peers, tmp_path, monkeypatch):
    environment = sys.modules["environment"]

    def fail(command, **_):
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environment.venv, "create", lambda place, **_: place.mkdir(parents=True))
    monkeypatch.setattr(environment.subprocess, "run", fail)
    (tmp_path / "tool.txt").write_text("tool==1\n")
    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError):
            environment.interpreter("tool", tmp_path / "envs")


def test_every_peer_has_a_script_and_pins_what_it_installs(peers):
    for name, peer in peers.PEERS.items():
        assert (BENCHMARKS / "peers" / f"run_{name}.py").exists()
        pinned = (BENCHMARKS / "peers" / "requirements" / f"{name}.txt").read_text().splitlines()
        assert all("==" in line for line in pinned if not line.startswith("#"))
        assert any(line.split("==")[0] == peer.package for line in pinned)


def test_committed_results_name_the_version_and_a_clean_commit():
    for path in (BENCHMARKS / "results").glob("peers-*.json"):
        result = json.loads(path.read_text())
        assert path.stem == f"peers-{result['peer']}-{result['dataset']}"
        assert not result["provenance"]["commit"].endswith("-dirty")
        assert result["version"] in result["provenance"]["peer_versions"].values()
