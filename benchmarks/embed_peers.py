"""Other engines on the workload of the embedding benchmark, in a process of their own.

Started by ``embed.py``; reads one command a line, ``sentence_transformers`` or ``openvino_bf16``,
and answers with one JSON object a line: CPU seconds for all timed windows, or why there are none.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from embed_workload import POOL, SHAPES, cpu_seconds, make_model, read_windows, timed_rows
from torch import nn
from transformers import EsmTokenizer

from peakatlas.engine.tokens.kmer import kmer_vocabulary


def hf_tokenizer(folder: Path) -> EsmTokenizer:
    """Write the vocabulary and load Hugging Face's tokenizer from it."""
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(kmer_vocabulary(6)) + "\n")
    return EsmTokenizer(str(vocabulary), eos_token=None)


class Wrapped(nn.Module):
    """A Hugging Face encoder as the first module of a SentenceTransformer."""

    max_seq_length = 2048

    def __init__(self, model: nn.Module, tokenizer: EsmTokenizer) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    def tokenize(self, texts: list[str], **_: object) -> dict[str, torch.Tensor]:
        """Pad to the longest."""
        return dict(self.tokenizer(texts, padding=True, return_tensors="pt"))

    preprocess = tokenize

    def forward(self, features: dict[str, torch.Tensor], **_: object) -> dict[str, torch.Tensor]:
        """Add token vectors."""
        out = self.model(features["input_ids"], attention_mask=features["attention_mask"])
        return features | {"token_embeddings": out.last_hidden_state}


def sentence_transformers(model: nn.Module, texts: list[str]) -> Callable[[], object]:
    """`SentenceTransformer.encode`: sorted by length, padded batches of 32, bf16, mean pooling."""
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    from sentence_transformers.models import Pooling  # noqa: PLC0415

    tokenizer = hf_tokenizer(Path(tempfile.mkdtemp()))
    modules = [Wrapped(model.bfloat16(), tokenizer), Pooling(model.config.hidden_size)]
    encoder = SentenceTransformer(modules=modules, device="cpu")
    return lambda: encoder.encode(texts, batch_size=32, convert_to_tensor=True)


class Pooled(nn.Module):
    """Mean over the tokens of sequences of one length, without a mask."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Vectors, shape (n, dim)."""
        mask = torch.ones_like(input_ids)
        return self.model(input_ids, attention_mask=mask).last_hidden_state.mean(1)


def openvino_bf16(model: nn.Module, texts: list[str], threads: int) -> Callable[[], object]:
    """OpenVINO in bfloat16, one sequence at a time at its exact length."""
    import openvino as ov  # noqa: PLC0415

    tokenizer = hf_tokenizer(Path(tempfile.mkdtemp()))
    ids = [np.array([tokenizer(text)["input_ids"]]) for text in texts]
    with torch.inference_mode():
        converted = ov.convert_model(Pooled(model), example_input=torch.from_numpy(ids[0]))
    converted.reshape({converted.inputs[0]: ov.PartialShape([1, -1])})
    options = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": threads,
               "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}  # fmt: skip
    compiled = ov.Core().compile_model(converted, "CPU", options)
    return lambda: [compiled([one])[0] for one in ids]


def main() -> None:
    """Serve commands until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=list(SHAPES), required=True)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    shape = SHAPES[args.shape]
    dna = read_windows(args.data, POOL)
    texts = [dna[int(row)] for row in timed_rows(len(dna), shape.windows)]
    built: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        name = line.strip()
        try:
            with torch.inference_mode():
                if name not in built:
                    model = make_model(shape)
                    built[name] = (
                        sentence_transformers(model, texts)
                        if name == "sentence_transformers"
                        else openvino_bf16(model, texts, 1)
                    )
                    built[name]()
                answer: dict[str, object] = {"cpu_s": cpu_seconds(built[name])}
        except Exception as fault:
            answer = {"reason": f"{type(fault).__name__}: {str(fault)[:200]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
