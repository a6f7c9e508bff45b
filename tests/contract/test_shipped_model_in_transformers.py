"""The shipped model's folder is a Hugging Face model: the same vectors without peakatlas."""

import subprocess
import sys

import numpy as np
import pytest

from peakatlas import Embedder
from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.models.table import MODELS, PACKAGED

FOLDER = PACKAGED / "peaklm-v3"
SCRIPT = """
import sys, numpy as np, torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer
folder, sequences, out = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
batch = tokenizer(sequences, padding=True, return_tensors="pt")
masked = AutoModelForMaskedLM.from_pretrained(folder, trust_remote_code=True).eval()
with torch.no_grad():
    vectors = model(**batch).pooler_output
    logits = masked(**batch).logits
assert logits.shape == (*batch["input_ids"].shape, 4096), logits.shape
assert not any(name.startswith("peakatlas") for name in sys.modules)
assert tokenizer.decode(tokenizer("acgtnryc")["input_ids"]) == "ACGTNNNCNNNN"
np.savez(out, vectors=vectors.numpy(), parameters=sum(p.numel() for p in model.parameters()))
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Sequences, what transformers makes of them in a process of its own, and what we do."""
    rng = np.random.default_rng(0)
    letters, share = list("ACGTN"), [0.24, 0.24, 0.24, 0.24, 0.04]
    sequences = ["".join(rng.choice(letters, n, p=share)) for n in (510, 301, 37, 6, 100)]
    sequences.append("acgtnnRYACGTTTGACA")
    folder = tmp_path_factory.mktemp("transformers")
    out = folder / "vectors.npz"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(FOLDER), ",".join(sequences), str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            "HF_MODULES_CACHE": str(folder),
            "HF_HUB_OFFLINE": "1",
            "PATH": "",
            "HOME": str(folder),
        },
    )
    assert done.returncode == 0, done.stderr
    ours = Embedder.load("peaklm-v3", precision="fp32")
    return np.load(out), ours.embed_sequences(Sequences.from_strings(sequences))


def test_vectors_are_the_same(both):
    theirs, ours = both
    vectors = getattr(ours, "values", ours)
    assert theirs["vectors"].shape == (6, 64)
    np.testing.assert_allclose(theirs["vectors"], vectors, atol=1e-5)


def test_the_card_counts_the_parameters_right(both):
    millions = f"{int(both[0]['parameters']) / 1e6:.1f}-million-parameter"
    assert millions in (FOLDER / "README.md").read_text("utf-8")
    assert MODELS["peaklm-v3"].loader == "peaklm"
