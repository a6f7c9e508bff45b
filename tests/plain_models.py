"""Encoders written out plainly in numpy, from their papers: slow, and sharing no code with ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf


def plain_vectors(path: Path, ids: list[int]) -> np.ndarray:
    """Last token vectors of one sequence by the model in a directory, float64, (n_tokens, dim)."""
    config = json.loads((path / "config.json").read_text())
    weights = {k: v.astype(np.float64) for k, v in load_file(path / "model.safetensors").items()}
    forward = {"esm": plain_esm, "bert": plain_bert, "modernbert": plain_modernbert}
    return forward[config["model_type"]](weights, config, np.array(ids))


def plain_esm(w: dict, config: dict, ids: np.ndarray) -> np.ndarray:
    """Pre-norm; rotary or learnt positions; GELU, or SwiGLU where the up-projection is double."""
    rotary = config["position_embedding_type"] == "rotary"
    x = w["esm.embeddings.word_embeddings.weight"][ids]
    x = x * (1 - 0.15 * 0.8) if config["token_dropout"] else x
    if not rotary:
        table = w["esm.embeddings.position_embeddings.weight"]
        x = x + table[config["pad_token_id"] + 1 + np.arange(len(ids))]
    if config["emb_layer_norm_before"]:
        x = norm(x, w, "esm.embeddings.layer_norm")
    for i in range(config["num_hidden_layers"]):
        at = f"esm.encoder.layer.{i}."
        y = norm(x, w, at + "attention.LayerNorm")
        q, k, v = (linear(y, w, f"{at}attention.self.{p}") for p in ("query", "key", "value"))
        mixed = attend(q, k, v, config["num_attention_heads"], 10_000.0 if rotary else None)
        x = x + linear(mixed, w, at + "attention.output.dense")
        y = linear(norm(x, w, at + "LayerNorm"), w, at + "intermediate.dense")
        if y.shape[1] == 2 * config["intermediate_size"]:
            gate, value = np.split(y, 2, axis=1)
            y = gate / (1 + np.exp(-gate)) * value
        else:
            y = gelu(y)
        x = x + linear(y, w, at + "output.dense")
    return norm(x, w, "esm.encoder.emb_layer_norm_after")


def plain_bert(w: dict, config: dict, ids: np.ndarray) -> np.ndarray:
    """Post-norm, learnt positions, one segment."""
    at = "bert.embeddings."
    x = w[at + "word_embeddings.weight"][ids] + w[at + "token_type_embeddings.weight"][0]
    x = norm(x + w[at + "position_embeddings.weight"][: len(ids)], w, at + "LayerNorm", 1e-12)
    for i in range(config["num_hidden_layers"]):
        at = f"bert.encoder.layer.{i}."
        q, k, v = (linear(x, w, f"{at}attention.self.{p}") for p in ("query", "key", "value"))
        mixed = linear(
            attend(q, k, v, config["num_attention_heads"], None), w, at + "attention.output.dense"
        )
        x = norm(x + mixed, w, at + "attention.output.LayerNorm", 1e-12)
        y = linear(gelu(linear(x, w, at + "intermediate.dense")), w, at + "output.dense")
        x = norm(x + y, w, at + "output.LayerNorm", 1e-12)
    return x


def plain_modernbert(w: dict, config: dict, ids: np.ndarray) -> np.ndarray:
    """Pre-norm without biases, GeGLU, rotary; most layers see a local window only."""
    x = norm(w["model.embeddings.tok_embeddings.weight"][ids], w, "model.embeddings.norm")
    apart = np.abs(np.arange(len(ids))[:, None] - np.arange(len(ids)))
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}."
        is_global = i % config["global_attn_every_n_layers"] == 0
        y = norm(x, w, at + "attn_norm") if i else x
        q, k, v = np.split(linear(y, w, at + "attn.Wqkv"), 3, axis=1)
        base = 160_000.0 if is_global else 10_000.0
        seen = None if is_global else apart <= config["local_attention"] // 2
        mixed = attend(q, k, v, config["num_attention_heads"], base, seen)
        x = x + linear(mixed, w, at + "attn.Wo")
        y, gate = np.split(linear(norm(x, w, at + "mlp_norm"), w, at + "mlp.Wi"), 2, axis=1)
        x = x + linear(gelu(y) * gate, w, at + "mlp.Wo")
    return norm(x, w, "model.final_norm")


def attend(q, k, v, n_heads, base, seen=None):
    """Softmax attention head by head; `base` is the period of rotary positions, if any."""
    out = []
    for query, key, value in zip(*(np.split(p, n_heads, axis=1) for p in (q, k, v)), strict=True):
        turned = [part if base is None else rotate(part, base) for part in (query, key)]
        score = turned[0] @ turned[1].T / np.sqrt(query.shape[1])
        score = score if seen is None else np.where(seen, score, -np.inf)
        weight = np.exp(score - score.max(1, keepdims=True))
        out.append(weight / weight.sum(1, keepdims=True) @ value)
    return np.concatenate(out, axis=1)


def rotate(x, base):
    """Turn the pair (i, i + half) of each row by row number / base ** (2 i / width)."""
    half = x.shape[1] // 2
    turned = np.empty_like(x)
    for row in range(len(x)):
        for i in range(half):
            angle = row / base ** (2 * i / x.shape[1])
            a, b = x[row, i], x[row, i + half]
            turned[row, i] = a * np.cos(angle) - b * np.sin(angle)
            turned[row, i + half] = b * np.cos(angle) + a * np.sin(angle)
    return turned


def linear(x, w, name):
    return x @ w[name + ".weight"].T + w.get(name + ".bias", 0.0)


def norm(x, w, name, eps=1e-5):
    centred = x - x.mean(1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + eps)
    return scaled * w[name + ".weight"] + w.get(name + ".bias", 0.0)


def gelu(x):
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))
