"""Tiny random checkpoints with the files, keys and settings that each family has on the hub."""

from __future__ import annotations

import itertools
import json
import textwrap
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors, trainers
from toy_models import nt_vocabulary

BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
DIM, FFN, LAYERS, HEADS = 32, 48, 2, 4


def write_nt_v1(path: Path) -> Path:
    """Nucleotide Transformer v1: ESM with learnt positions, 6-mers, a language-model head."""
    return _write_nt(path, glu=False)


def write_nt_v2(path: Path) -> Path:
    """Nucleotide Transformer v2: rotary, SwiGLU without biases, stored frequencies, own code."""
    return _write_nt(path, glu=True)


def _write_nt(path: Path, *, glu: bool) -> Path:
    vocab, positions = nt_vocabulary(), 2050 if glu else 1002
    shapes = {"esm.embeddings.word_embeddings.weight": (len(vocab), DIM)}
    shapes |= {"esm.embeddings.position_embeddings.weight": (positions, DIM)}
    for i in range(LAYERS):
        at = f"esm.encoder.layer.{i}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _linear(f"{at}attention.{part}", DIM, DIM)
        shapes |= _norm(at + "attention.LayerNorm") | _norm(at + "LayerNorm")
        shapes |= _linear(at + "intermediate.dense", DIM, 2 * FFN if glu else FFN, bias=not glu)
        shapes |= _linear(at + "output.dense", FFN, DIM, bias=not glu)
    shapes |= _norm("esm.encoder.emb_layer_norm_after") | _linear("lm_head.dense", DIM, DIM)
    shapes |= _norm("lm_head.layer_norm") | {"lm_head.bias": (len(vocab),)}
    shapes |= {"esm.contact_head.regression.weight": (1, LAYERS * HEADS),
               "esm.contact_head.regression.bias": (1,)}  # fmt: skip
    weights = _random(shapes)
    if glu:
        inverse = (1 / 10_000 ** (np.arange(0, 8, 2) / 8)).astype(np.float32)
        weights |= {
            f"esm.encoder.layer.{i}.attention.self.rotary_embeddings.inv_freq": inverse
            for i in range(LAYERS)
        }
    config = {
        "architectures": ["EsmForMaskedLM"], "model_type": "esm", "vocab_size": len(vocab),
        "hidden_size": DIM, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "max_position_embeddings": positions, "pad_token_id": 1,
        "mask_token_id": 2, "token_dropout": not glu, "emb_layer_norm_before": False,
        "position_embedding_type": "rotary" if glu else "absolute", "layer_norm_eps": 1e-5,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "esmfold_config": None,
        "is_folding_model": False, "vocab_list": None, "torch_dtype": "float32",
        "tie_word_embeddings": False, "use_cache": False, "transformers_version": "4.32.0.dev0",
    }  # fmt: skip
    if glu:
        config["auto_map"] = {"AutoConfig": "esm_config.EsmConfig",
                              "AutoModelForMaskedLM": "modeling_esm.EsmForMaskedLM"}  # fmt: skip
        config["add_bias_fnn"] = False
    settings = {"tokenizer_class": "EsmTokenizer", "cls_token": "<cls>", "eos_token": None,
                "mask_token": "<mask>", "pad_token": "<pad>", "unk_token": "<unk>",
                "model_max_length": positions - 2}  # fmt: skip
    _write(path, config, weights, settings)
    (path / "vocab.txt").write_text("\n".join(vocab))
    return path


def write_grover(path: Path) -> Path:
    """GROVER: BERT over byte pairs."""
    rng = np.random.default_rng(5)
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    trainer = trainers.BpeTrainer(
        vocab_size=60, special_tokens=list(BERT_SPECIALS), initial_alphabet=list("ACGTN"),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(
        ["".join(rng.choice(list("ACGT"), 400)) for _ in range(20)], trainer
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    _write_bert(path, tokenizer.get_vocab_size(), {"tokenizer_class": "PreTrainedTokenizerFast"})
    tokenizer.save(str(path / "tokenizer.json"))
    return path


def write_dnabert(path: Path, k: int = 3) -> Path:
    """DNABERT: BERT over overlapping k-mers, with code of its own that is not needed."""
    kmers = ["".join(letters) for letters in itertools.product("ATCG", repeat=k)]
    vocab = [*BERT_SPECIALS, *kmers]
    own = {"AutoConfig": "configuration_bert.BertConfig", "AutoModel": "dnabert_layer.BertModel"}
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "max_len": 512}
    _write_bert(path, len(vocab), settings, auto_map=own)
    (path / "vocab.txt").write_text("\n".join(vocab) + "\n")
    return path


def _write_bert(path: Path, n_vocabulary: int, settings: dict, **extra) -> None:
    at = "bert.embeddings."
    shapes = {at + "word_embeddings.weight": (n_vocabulary, DIM),
              at + "position_embeddings.weight": (512, DIM),
              at + "token_type_embeddings.weight": (2, DIM)} | _norm(at + "LayerNorm")  # fmt: skip
    for i in range(LAYERS):
        at = f"bert.encoder.layer.{i}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _linear(f"{at}attention.{part}", DIM, DIM)
        shapes |= _norm(at + "attention.output.LayerNorm") | _norm(at + "output.LayerNorm")
        shapes |= _linear(at + "intermediate.dense", DIM, FFN)
        shapes |= _linear(at + "output.dense", FFN, DIM)
    shapes |= {"cls.predictions.bias": (n_vocabulary,)}
    shapes |= _linear("cls.predictions.transform.dense", DIM, DIM)
    shapes |= _norm("cls.predictions.transform.LayerNorm")
    config = {
        "architectures": ["BertForMaskedLM"], "model_type": "bert", "vocab_size": n_vocabulary,
        "hidden_size": DIM, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "max_position_embeddings": 512, "pad_token_id": 0,
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        "position_embedding_type": "absolute", "torch_dtype": "float32", **extra,
    }  # fmt: skip
    named = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"),
                     BERT_SPECIALS, strict=True))  # fmt: skip
    _write(path, config, _random(shapes), settings | named)


def write_modernbert(path: Path) -> Path:
    """ModernBERT over single letters; two layers of three see 8 tokens to each side."""
    shapes = {"model.embeddings.tok_embeddings.weight": (10, DIM)}
    shapes |= _norm("model.embeddings.norm", bias=False) | _norm("model.final_norm", bias=False)
    for i in range(3):
        at = f"model.layers.{i}."
        shapes |= _norm(at + "attn_norm", bias=False) if i else {}
        shapes |= _norm(at + "mlp_norm", bias=False)
        shapes |= _linear(at + "attn.Wqkv", DIM, 3 * DIM, bias=False)
        shapes |= _linear(at + "attn.Wo", DIM, DIM, bias=False)
        shapes |= _linear(at + "mlp.Wi", DIM, 2 * FFN, bias=False)
        shapes |= _linear(at + "mlp.Wo", FFN, DIM, bias=False)
    shapes |= _linear("head.dense", DIM, DIM, bias=False) | _norm("head.norm", bias=False)
    shapes |= {"decoder.bias": (10,)}
    config = {
        "architectures": ["ModernBertForMaskedLM"], "model_type": "modernbert", "vocab_size": 10,
        "hidden_size": DIM, "intermediate_size": FFN, "num_hidden_layers": 3,
        "num_attention_heads": HEADS, "max_position_embeddings": 1024, "local_attention": 16,
        "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0, "norm_eps": 1e-5,
        "local_rope_theta": 10000.0, "norm_bias": False, "attention_bias": False,
        "mlp_bias": False, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3,
        "bos_token_id": 2, "eos_token_id": 3, "hidden_activation": "gelu", "torch_dtype": "float32",
    }  # fmt: skip
    _write(path, config, _random(shapes), {"tokenizer_class": "PreTrainedTokenizerFast"})
    letter_tokenizer().save(str(path / "tokenizer.json"))
    return path


def letter_tokenizer() -> Tokenizer:
    """A token a letter, between [CLS] and [SEP]."""
    vocab = {token: i for i, token in enumerate((*BERT_SPECIALS, *"ACGTN"))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


REMOTE_CONFIG = """
from transformers import PretrainedConfig

class ToyConfig(PretrainedConfig):
    model_type = "toy-remote"
    def __init__(self, vocab_size=10, d_model=16, n_layer=1, **kwargs):
        self.vocab_size, self.d_model, self.n_layer = vocab_size, d_model, n_layer
        super().__init__(**kwargs)
"""
REMOTE_MODEL = """
import torch
from torch import nn
from transformers import PreTrainedModel
from .configuration_toy import ToyConfig

class ToyModel(PreTrainedModel):
    config_class = ToyConfig
    def __init__(self, config):
        super().__init__(config)
        self.words = nn.Embedding(config.vocab_size, config.d_model)
        self.mix = nn.Linear(config.d_model, config.d_model)
        self.post_init()
    def get_input_embeddings(self):
        return self.words
    def forward(self, input_ids):
        x = self.words(input_ids)
        steps = torch.arange(1, x.shape[1] + 1)[:, None]
        return (self.mix(torch.cumsum(x, 1) / steps),)
"""


def write_remote(path: Path) -> Path:
    """A model of unknown type with its own Python code; vectors are linear in running means."""
    shapes = {"words.weight": (10, 16)} | _linear("mix", 16, 16)
    places = {"AutoConfig": "configuration_toy.ToyConfig", "AutoModel": "modeling_toy.ToyModel"}
    config = {"model_type": "toy-remote", "vocab_size": 10, "d_model": 16, "n_layer": 1,
              "auto_map": places, "max_position_embeddings": 600}  # fmt: skip
    _write(path, config, _random(shapes), {"tokenizer_class": "PreTrainedTokenizerFast"})
    letter_tokenizer().save(str(path / "tokenizer.json"))
    (path / "configuration_toy.py").write_text(textwrap.dedent(REMOTE_CONFIG))
    (path / "modeling_toy.py").write_text(textwrap.dedent(REMOTE_MODEL))
    return path


def _linear(name: str, n_in: int, n_out: int, *, bias: bool = True) -> dict:
    return {f"{name}.weight": (n_out, n_in)} | ({f"{name}.bias": (n_out,)} if bias else {})


def _norm(name: str, *, bias: bool = True) -> dict:
    return {f"{name}.weight": (DIM,)} | ({f"{name}.bias": (DIM,)} if bias else {})


def _random(shapes: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights large enough that attention and positions matter; norms scale by about 1."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.normal(0, 0.3, shape) + (len(shape) == 1 and name.endswith("weight"))).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


def _write(path: Path, config: dict, weights: dict, settings: dict) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config, indent=1))
    (path / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
    save_file(weights, path / "model.safetensors", {"format": "pt"})
