"""Packs through a model: memory that runs out, and copies that nothing waits for."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import ModelError
from peakatlas.engine.forward.plan import make_plan
from peakatlas.engine.run.packs import PackRunner
from peakatlas.engine.run.transfer import HostTransfer, StreamTransfer

RULES = {"pooling": "mean", "layer": -1, "dim": 32}


@pytest.fixture
def model(toy_peaklm):
    return Embedder.load(str(toy_peaklm), precision="fp32")._model


@pytest.fixture
def tokens(model):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), n)) for n in rng.integers(30, 600, 200)]
    return model.tokenizer.encode(Sequences.from_strings(texts))


class SmallDevice(HostTransfer):
    """Has room for packs of so many tokens only."""

    def __init__(self, room):
        self.room, self.sent = room, []

    def send(self, plan):
        self.sent.append(plan.n_tokens)
        if plan.n_tokens > self.room:
            raise torch.OutOfMemoryError(f"{plan.n_tokens} tokens")
        return plan


def test_memory_that_runs_out_halves_the_packs_and_changes_nothing(model, tokens):
    runner = PackRunner(model, **RULES, token_budget=9000)
    expected = runner.collect(runner.launch(runner.plan(tokens)))
    device = SmallDevice(3000)
    small = PackRunner(model, **RULES, token_budget=9000, transfer=device)
    ahead = [small.plan(tokens), small.plan(tokens)]
    done = [small.collect(small.launch(planned)) for planned in ahead]
    assert small.token_budget == 2250
    # the second block, planned before memory ran out, is not tried as it was
    assert sum(n > device.room for n in device.sent) == 2
    assert all(np.array_equal(vectors, expected) for vectors in done)


def test_a_device_without_room_for_the_smallest_packs_is_named(model, tokens):
    runner = PackRunner(model, **RULES, token_budget=4096, transfer=SmallDevice(10))
    with pytest.raises(ModelError, match="cpu has too little free memory for packs of 1024"):
        runner.launch(runner.plan(tokens))


class FakeCuda:
    """Streams and events that only write down what they were asked."""

    def __init__(self):
        self.log, self.active = [], "compute"
        self.waiter = None

    def Stream(self, device):  # noqa: N802 (torch's name)
        return FakeStream(self, "copies")

    def current_stream(self, device):
        return FakeStream(self, "compute")

    def stream(self, stream):
        return stream

    def Event(self, *, blocking):  # noqa: N802
        assert blocking  # not a busy wait
        return FakeEvent(self)


class FakeStream:
    def __init__(self, cuda, name):
        self.cuda, self.name = cuda, name

    def __enter__(self):
        self.cuda.active = self.name

    def __exit__(self, *_):
        self.cuda.active = "compute"

    def wait_stream(self, other):
        self.cuda.log.append((self.name, "waits for", other.name))


class FakeEvent:
    def __init__(self, cuda):
        self.cuda = cuda

    def record(self, stream):
        self.cuda.log.append((stream.name, "records"))

    def synchronize(self):
        self.cuda.log.append(("host", "waits"))
        self.cuda.waiter = threading.get_ident()


@pytest.fixture
def fake(monkeypatch):
    """A card that is a CPU, whose copies and pinning are written down."""
    cuda, to, empty, copy = FakeCuda(), torch.Tensor.to, torch.empty, torch.Tensor.copy_

    def noted(self, *args, non_blocking=False, **kwargs):
        cuda.log.append((cuda.active, "copies", "without waiting" if non_blocking else "waiting"))
        return to(self, *args, **kwargs)

    def noted_back(self, source, non_blocking=False):
        cuda.log.append((cuda.active, "back", "without waiting" if non_blocking else "waiting"))
        return copy(self, source)

    monkeypatch.setattr(torch.Tensor, "to", noted)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda _, stream: cuda.log.append(
        (stream.name, "keeps")))  # fmt: skip

    def pinned(*sizes, pin_memory=False, **options):
        return empty(*sizes, **options)

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.Tensor, "copy_", noted_back)
    return cuda


def test_copies_are_behind_one_another_and_the_host_waits_only_for_the_vectors(fake):
    transfer = StreamTransfer(torch.device("cpu"), fake)
    plan = transfer.stage(make_plan([1, 2, 3], [2, 1]))
    assert fake.log == []
    sent = transfer.send(plan)
    tensors = 4
    assert fake.log == [
        *[("copies", "copies", "without waiting")] * tensors,
        ("compute", "waits for", "copies"),
        *[("compute", "keeps")] * tensors,
    ]
    fake.log.clear()
    fetched = transfer.fetch(sent.position.float())
    assert fake.log == [("compute", "back", "without waiting"), ("compute", "records")]
    assert fetched.numpy().tolist() == [0, 1, 0]
    assert fake.log[-1] == ("host", "waits")


def test_through_streams_vectors_are_the_same_and_the_consumer_waits(model, tokens, fake):
    expected = PackRunner(model, **RULES, token_budget=2000)
    straight = expected.collect(expected.launch(expected.plan(tokens)))
    runner = PackRunner(
        model, **RULES, token_budget=2000, transfer=StreamTransfer(torch.device("cpu"), fake)
    )
    launched = runner.launch(runner.plan(tokens))
    assert ("host", "waits") not in fake.log
    found = []
    consumer = threading.Thread(target=lambda: found.append(runner.collect(launched)))
    consumer.start()
    consumer.join()
    assert fake.waiter not in (None, threading.get_ident())
    assert np.array_equal(found[0], straight)


def test_the_budget_is_chosen_by_packs_that_are_run(toy_peaklm):
    embedder = Embedder.load(str(toy_peaklm), precision="fp32", token_budget=5000)
    device = SmallDevice(70_000)
    embedder._runner._transfer = device
    embedder._measure_budget()
    assert embedder._runner.token_budget in (16_384, 32_768, 65_536)
    assert [n // 16_000 for n in device.sent[:9:3]] == [1, 2, 4]


def test_cls_pooling_is_the_first_token_of_each_sequence(model, tokens):
    runner = PackRunner(replace(model, leading_cls=True), **(RULES | {"pooling": "cls"}),
                        token_budget=2000)  # fmt: skip
    vectors = runner.collect(runner.launch(runner.plan(tokens)))
    plan = model.encoder.plan(tokens[3], [len(tokens[3])])
    assert np.array_equal(vectors[3], model.encoder.hidden(plan)[0].numpy())
