"""A text as a task: windows, targets, loss, score and baselines."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

from data.small_files import Write
from gatewise.data import CharacterTask, Text, read_text
from gatewise.errors import DataError, UsageError
from gatewise.tasks import Batch, Source

WORDS = " ".join(random.Random(1).choices(["gate", "cell", "state", "forget", "reset"], k=700))


def task_of(content: str, sequence_length: int = 16) -> CharacterTask:
    return CharacterTask(Text("words", content, Source("words.txt", "0", "some characters")), sequence_length)


def spell(task: CharacterTask, batch: Batch) -> tuple[list[str], list[str]]:
    """Return the inputs and the targets of a batch as texts."""
    inputs = [task.vocabulary.decode(row.tolist()) for row in batch.inputs.argmax(-1)]
    return inputs, [task.vocabulary.decode(row.tolist()) for row in batch.targets]


def test_task_describes_itself(write: Write) -> None:
    content = "\ufeff" + WORDS
    task = CharacterTask(read_text(write("my book.txt", content)))
    assert task.name == "text-my-book"
    assert task.sequence_length == 64
    assert task.input_size == task.output_size == len(set(WORDS)) + 1
    assert (task.readout, task.metric.name, task.metric.better) == ("every", "bits per character", "lower")
    digest = hashlib.sha256(content.encode()).hexdigest()
    assert task.source == Source("my book.txt", digest, f"{len(WORDS):,} characters".replace(",", " "))


def test_training_windows_lie_in_the_training_part(generator: torch.Generator) -> None:
    task = task_of(WORDS)
    end = len(WORDS) * 80 // 100
    batch = task.training_batch(500, generator)
    assert batch.inputs.shape == (500, 16, task.input_size)
    assert batch.inputs.dtype == torch.float32
    assert batch.targets.dtype == torch.int64
    for given, following in zip(*spell(task, batch), strict=True):
        assert given[1:] == following[:-1]
        assert given + following[-1] in WORDS[:end]


def test_training_uses_all_of_its_part_and_no_later_character(generator: torch.Generator) -> None:
    task = task_of(WORDS[:159] + "?" + "!" * 40)  # the first 160 of 200 characters are for training
    batch = task.training_batch(3000, generator)
    last, later = task.vocabulary.encode("?!").tolist()
    assert (batch.targets == last).any()
    assert not (batch.targets == later).any()
    assert not batch.inputs[..., later].any()
    assert task.test().inputs[..., later].all()


def test_training_batch_repeats_with_the_generator(same: Callable[[Batch, Batch], bool]) -> None:
    task = task_of(WORDS)
    one, other, different = (task.training_batch(8, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert same(one, other)
    assert not same(one, different)


def test_validation_and_test_tile_their_parts() -> None:
    task = task_of(WORDS)
    first, second = len(WORDS) * 80 // 100, len(WORDS) * 90 // 100
    for batch, part in ((task.validation(), WORDS[first:second]), (task.test(), WORDS[second:])):
        targets = spell(task, batch)[1]
        assert len(targets) == (len(part) - 1) // 16
        assert "".join(targets) == part[1 : 1 + 16 * len(targets)]


def test_many_windows_are_thinned_to_200() -> None:
    assert len(task_of(WORDS * 10).test()) == 200


def test_score_is_the_mean_of_minus_log2_of_the_probability(generator: torch.Generator) -> None:
    task = task_of(WORDS)
    targets = task.test().targets
    outputs = torch.randn(*targets.shape, task.output_size, generator=generator)
    probability = torch.softmax(outputs.double(), -1).gather(-1, targets[..., None])
    by_hand = -torch.log2(probability).mean().item()
    assert task.score(outputs, targets) == pytest.approx(by_hand, rel=1e-9)
    assert task.loss(outputs, targets).item() == pytest.approx(by_hand * math.log(2), rel=1e-6)
    assert task.score(outputs, targets.flip(0)) != pytest.approx(by_hand, rel=1e-3)


def test_uniform_outputs_score_as_the_baseline_of_chance() -> None:
    task = task_of(WORDS)
    targets = task.test().targets
    chance = task.baselines()[0]
    assert chance.name == "uniform chance"
    assert task.score(torch.zeros(*targets.shape, task.output_size), targets) == pytest.approx(chance.score, rel=1e-9)


def test_baselines_agree_with_a_plain_loop() -> None:
    task = task_of(WORDS)
    training = WORDS[: len(WORDS) * 80 // 100]
    size = len(set(training)) + 1
    single, pairs = Counter(training), Counter(pairwise(training))
    before = Counter(training[:-1])
    single_bits = pair_bits = total = 0.0
    for given, following in zip(*spell(task, task.test()), strict=True):
        for previous, character in zip(given, following, strict=True):
            single_bits -= math.log2((single[character] + 1) / (len(training) + size))
            pair_bits -= math.log2((pairs[previous, character] + 1) / (before[previous] + size))
            total += 1
    scores = {baseline.name: baseline.score for baseline in task.baselines()}
    assert scores["character frequencies"] == pytest.approx(single_bits / total, rel=1e-12)
    assert scores["previous character"] == pytest.approx(pair_bits / total, rel=1e-12)
    assert scores["previous character"] < scores["character frequencies"] < scores["uniform chance"]


def test_baselines_count_the_training_part_only() -> None:
    end = len(WORDS) * 80 // 100
    unseen = task_of(WORDS[:end] + "!" * (len(WORDS) - end))
    frequencies = unseen.baselines()[1]
    assert frequencies.score == pytest.approx(math.log2(end + unseen.output_size))  # a count of 0, smoothed to 1


@pytest.mark.parametrize("length", [64, 65, 99])
def test_shortest_text_has_a_window_in_every_part(length: int, generator: torch.Generator) -> None:
    task = task_of("ab" * (5 * (length + 1)), length)
    assert len(task.validation()) == len(task.test()) == 1
    assert len(task.training_batch(3, generator)) == 3
    with pytest.raises(DataError, match=rf"sequences of {length} need at least .*shorter --length"):
        task_of(("ab" * (5 * (length + 1)))[:-1], length)


def test_short_text_says_how_much_came_and_is_needed(write: Write) -> None:
    with pytest.raises(DataError, match=r"^note.txt has 5 characters; sequences of 64 need at least 650, so that"):
        CharacterTask(read_text(write("note.txt", "hello")))


def test_sequence_length_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="--length must be at least 1, got 0"):
        task_of(WORDS, 0)
