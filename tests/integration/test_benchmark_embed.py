"""The embedding benchmark runs, and prints what it promises."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BY_SHAPE = (
    "ratio_vs_naive", "ratio_vs_model_card", "fraction_of_gemm_peak",
    "ratio_vs_sentence_transformers", "ratio_vs_openvino_bf16", "min_cosine_vs_fp32",
)  # fmt: skip
OVERALL = (
    "tokenizer_ratio_vs_hf", "rss_growth_mb", "pipeline_efficiency", "host_windows_per_second",
    "cuda_ops_per_layer", "cuda_host_reads_per_pack", "peaklm_ratio_vs_before",
)  # fmt: skip


def test_quick_run_prints_every_figure_or_why_there_is_none(tmp_path):
    command = [sys.executable, "benchmarks/embed.py", "--quick", "--json", "--data", str(tmp_path),
               "--before", "HEAD"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    figures = {key: result[key]["tiny"] for key in BY_SHAPE} | {key: result[key] for key in OVERALL}
    for key, value in figures.items():
        assert value is None or isinstance(value, float)
        assert value is not None or any(why.startswith(key) for why in result["reasons"])
    assert figures["min_cosine_vs_fp32"] > 0.999
    assert figures["cuda_ops_per_layer"] <= 10
    assert figures["cuda_host_reads_per_pack"] == 0
    assert result["sequences"] == "random"
    assert "commit" in result["provenance"]
