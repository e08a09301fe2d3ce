"""A small generated language: sentences about things whose classes and relations are known, so that what is learned can be graded.

Every noun comes in two forms that differ in one respect: dog and dogs, king and queen, france and paris. A sentence reveals its noun by a
few words of that noun's own, the form by words such as ``its`` and ``their``, and the class by words that all its nouns share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

PAD = -1  #: stands where a sentence has ended; not a word


@dataclass(frozen=True)
class Kind:
    """A class of nouns.

    Attributes:
        name: what the class is called.
        relation: what the second form of a noun is to the first.
        nouns: ``"first second: own words"`` for each noun.
        templates: sentences with ``{noun}`` and ``{own}`` to fill, and the names of the slots below.
        slots: for each name, the words that may stand there; a pair of lists where the form decides.
    """

    name: str
    relation: str
    nouns: tuple[str, ...]
    templates: tuple[str, ...]
    slots: dict[str, str | tuple[str, str]]


_NUMBER = {"det": ("one this each that", "two many these those"), "was": ("was", "were"), "its": ("its", "their")}
KINDS = (
    Kind(
        "animal",
        "plural",
        (
            "dog dogs: kennel bone leash", "cat cats: sofa mouse yarn", "horse horses: saddle stable race", "cow cows: milk meadow bell", "duck ducks: pond feather lake",
            "bee bees: honey flower hive", "bear bears: cave forest salmon", "frog frogs: swamp lily rain", "goat goats: cliff mountain hay", "owl owls: barn moon night",
        ),
        ("{det} {noun} near the {own} {was} {look}", "{det} {noun} at the {own} moved {its} {part}", "the {own} made {det} {noun} turn {its} {part}"),
        _NUMBER | {"look": "wild tame hungry sleepy", "part": "tail legs head eyes"},
    ),
    Kind(
        "food",
        "plural",
        (
            "apple apples: cider orchard pie", "carrot carrots: soup rabbit garden", "grape grapes: wine vineyard raisin", "lemon lemons: tea juice sherbet", "onion onions: tears stew ring",
            "tomato tomatoes: sauce pasta ketchup", "potato potatoes: fries oven mash", "cherry cherries: jam cake spring", "egg eggs: omelette breakfast pan", "bean beans: chili pod coffee",
        ),
        ("{det} {noun} for the {own} {was} {taste}", "they cut {det} {noun} and {its} {part} for the {own}", "the {own} needs {det} {noun} in {its} {dish}"),
        _NUMBER | {"taste": "ripe fresh sweet tasty", "part": "skin seeds", "dish": "bowl basket box"},
    ),
    Kind(
        "place",
        "capital",
        (
            "france paris: french baguette louvre", "italy rome: italian opera gladiator", "japan tokyo: japanese sushi kimono", "kenya nairobi: swahili safari savanna", "peru lima: quechua llama inca",
            "norway oslo: norwegian fjord ski", "egypt cairo: arabic pyramid nile", "india delhi: hindi curry tiger", "greece athens: greek olive temple", "cuba havana: cuban cigar rumba",
        ),
        ("the {head} of {noun} praised the {own}", "we {went} to {noun} and its {part} for the {own}", "in {noun} the {head} near the {part} knows the {own}"),
        {"head": ("president army parliament", "mayor council bishop"), "part": ("border coast provinces", "metro streets suburbs"), "went": "travelled flew returned"},
    ),
    Kind(
        "person",
        "woman",
        (
            "king queen: throne crown sceptre", "prince princess: ball heir tower", "man woman: office work car", "boy girl: school toy swing", "father mother: child home cradle",
            "actor actress: stage film script", "uncle aunt: cousin nephew gift", "waiter waitress: menu restaurant tip", "brother sister: twin quarrel bunk", "wizard witch: spell potion broom",
        ),
        ("the {noun} said that {he} {felt} the {own}", "the {noun} took {his} {own} and {he} smiled", "{he} {himself} as the {noun} {felt} the {own}"),
        {"he": ("he", "she"), "his": ("his", "her"), "himself": ("himself", "herself"), "felt": "loved wanted lost called"},
    ),
)  # fmt: skip


def pairs() -> dict[str, list[tuple[str, str]]]:
    """For each class the two forms of its nouns: ``{"animal": [("dog", "dogs"), ...], ...}``."""
    return {kind.name: [tuple(noun.split(":")[0].split()) for noun in kind.nouns] for kind in KINDS}


def own_words() -> list[list[str]]:
    """For each of the 40 nouns, in the order of their numbers, the words that only its sentences have."""
    return [noun.split(":")[1].split() for kind in KINDS for noun in kind.nouns]


def sentences(n: int, seed: int = 0) -> tuple[list[list[str]], list[int]]:
    """``n`` sentences as lists of words, and the number of the noun (0 to 39, both forms alike) that each is about.

    Raises:
        ValueError: fewer than one sentence is asked for.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}: a corpus without sentences teaches nothing.")
    rng = np.random.default_rng(seed)
    found, topics = [], []
    for _ in range(n):
        which, number, form = rng.integers(len(KINDS)), rng.integers(10), rng.integers(2)
        kind = KINDS[which]
        forms, own = (part.split() for part in kind.nouns[number].split(":"))
        slots = {name: words if isinstance(words, str) else words[form] for name, words in kind.slots.items()}
        chosen = {name: rng.choice(words.split()) for name, words in slots.items()}
        found.append(str(rng.choice(kind.templates)).format(noun=forms[form], own=rng.choice(own), **chosen).split())
        topics.append(int(10 * which + number))
    return found, topics


@dataclass(frozen=True)
class Vocabulary:
    """The words of a corpus, the most frequent first, and how often each occurs."""

    words: tuple[str, ...]
    counts: Int[Tensor, "n"]

    @classmethod
    def of(cls, sentences: Sequence[Sequence[str]]) -> Vocabulary:
        """Count the words.

        Raises:
            ValueError: the corpus is empty.
        """
        counts: dict[str, int] = {}
        for word in (word for sentence in sentences for word in sentence):
            counts[word] = counts.get(word, 0) + 1
        if not counts:
            raise ValueError("the corpus is empty: there is no word to learn from.")
        words = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(tuple(words), torch.tensor([counts[word] for word in words]))

    def ids(self, sentences: Sequence[Sequence[str]]) -> Int[Tensor, "S L"]:
        """Numbers of the words, shorter rows filled up with PAD.

        Raises:
            KeyError: a word that the corpus did not have.
        """
        number = {word: i for i, word in enumerate(self.words)}
        unknown = sorted({word for sentence in sentences for word in sentence} - set(number))
        if unknown:
            raise KeyError(f"not in the vocabulary: {', '.join(unknown[:5])}. Leave such words out, or learn from a corpus that has them.")
        longest = max(map(len, sentences), default=0)
        rows = [[number[word] for word in sentence] + [PAD] * (longest - len(sentence)) for sentence in sentences]
        return torch.tensor(rows, dtype=torch.long).reshape(len(rows), longest)

    def number(self, word: str) -> int:
        """The row of one word."""
        return int(self.ids([[word]])[0, 0])


def load(n: int, seed: int = 0) -> tuple[Vocabulary, Int[Tensor, "S L"], Int[Tensor, "S"]]:
    """``n`` sentences: their vocabulary, their words as numbers, and the topic of each."""
    found, topics = sentences(n, seed)
    vocabulary = Vocabulary.of(found)
    return vocabulary, vocabulary.ids(found), torch.tensor(topics)
