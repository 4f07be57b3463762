"""Which characters get a class, and that encoding loses nothing that has one."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from gatewise.data.vocabulary import UNKNOWN, Vocabulary

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@given(TEXTS, TEXTS)
def test_decode_reverses_encode_for_known_characters(training: str, other: str) -> None:
    vocabulary = Vocabulary(training)
    expected = "".join(character if character in training else UNKNOWN for character in other)
    assert vocabulary.decode(vocabulary.encode(other).tolist()) == expected
    assert vocabulary.size == len(set(training)) + 1


def test_vocabulary_keeps_the_most_frequent() -> None:
    vocabulary = Vocabulary("zzzyyxw", at_most=3)
    assert vocabulary.characters == "wyz"  # w and x tie: the lower code point stays
    assert vocabulary.encode("xyz").tolist() == [3, 1, 2]


def test_vocabulary_has_at_most_256_characters_and_one_more_class() -> None:
    assert Vocabulary("".join(map(chr, range(32, 532)))).size == 257


def test_one_hot_has_its_one_at_the_class() -> None:
    vocabulary = Vocabulary("abc")
    classes = torch.tensor([[0, 3], [2, 1]])
    encoded = vocabulary.one_hot(classes)
    assert encoded.shape == (2, 2, 4)
    assert encoded.dtype == torch.float32
    assert torch.equal(encoded.argmax(-1), classes)
    assert encoded.sum() == 4
