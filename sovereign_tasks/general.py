"""Everyday material that no domain owns: prose for a base from scratch, and chats against forgetting.

Every kind below draws one small fact or story as (statement, question, answer). `general_text` strings the
statements and stories together; `general_examples` asks the questions. A question's own hash decides its
split, so that what replays in training never measures forgetting. Kinds are ordered by the skill that they take,
so that one can tell which skill a training has cost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, Literal

import yaml

from sovereign_tasks.records import Example

Fact = tuple[str, str, str]
REGRESSION_SHARE = 0.25
STORY_SHARE = 0.35
TRIES = 20  # draws for a question that is new, before the next kind has its turn
CHARACTERS_PER_TOKEN = 4

WORDS: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _pair(rng: Random, table: list[str]) -> tuple[str, str]:
    left, right = rng.choice(table).split("-")
    return left, right


def _after(names: list[str], unit: str) -> Callable[[Random], Fact]:
    def draw(rng: Random) -> Fact:
        i = rng.randrange(len(names))
        this, other = names[i], names[(i + 1) % len(names)]
        if rng.random() < 0.5:
            question = rng.choice([f"Which {unit} comes after {this}?", f"What {unit} follows {this}?"])
            return f"{other} comes after {this}.", question, f"{other} comes after {this}."
        question = rng.choice([f"Which {unit} comes before {other}?", f"What {unit} is just before {other}?"])
        return f"{this} comes before {other}.", question, f"{this} comes before {other}."

    return draw


def _sum(rng: Random) -> Fact:
    a, b = rng.randint(1, 12), rng.randint(1, 12)
    said = f"{a} plus {b} is {a + b}."
    return said, rng.choice([f"What is {a} plus {b}?", f"How much is {a} and {b}?"]), said


def _difference(rng: Random) -> Fact:
    a, b = sorted((rng.randint(1, 15), rng.randint(1, 15)), reverse=True)
    said = f"{a} minus {b} is {a - b}."
    return said, rng.choice([f"What is {a} minus {b}?", f"How much is {a} less {b}?"]), said


def _larger(rng: Random) -> Fact:
    a, b = rng.sample(range(1, 100), 2)
    said = f"{max(a, b)} is larger than {min(a, b)}."
    return said, f"Which number is larger, {a} or {b}?", said


def _clock(rng: Random) -> Fact:
    now, hours = rng.randint(1, 12), rng.randint(1, 6)
    then = (now + hours - 1) % 12 + 1
    said = f"{hours} hours after {now} o'clock it is {then} o'clock."
    return said, f"It is {now} o'clock. What time is it in {hours} hours?", f"It is {then} o'clock."


def _table(table: list[str], said: str, *questions: str) -> Callable[[Random], Fact]:
    def draw(rng: Random) -> Fact:
        left, right = _pair(rng, table)
        names = {"l": left, "al": _a(left), "r": right, "ar": _a(right)}
        sentence = said.format(**names)
        sentence = sentence[0].upper() + sentence[1:]
        return sentence, rng.choice(questions).format(**names), sentence

    return draw


def _opposite(rng: Random) -> Fact:
    a, b = _pair(rng, WORDS["opposites"])
    if rng.random() < 0.5:
        a, b = b, a
    said = f"The opposite of {a} is {b}."
    return said, rng.choice([f"What is the opposite of {a}?", f"Which word is the opposite of {a}?"]), said


def _member(rng: Random) -> Fact:
    kind = rng.choice(list(WORDS["groups"]))
    word = rng.choice(WORDS["groups"][kind])
    other = rng.choice([k for k in WORDS["groups"] if k != kind])
    said = f"{_a(word).capitalize()} is {_a(kind)}."
    return said, f"Is {_a(word)} {_a(kind)} or {_a(other)}?", said


def _owner(rng: Random) -> Fact:
    (one, two), (x, y), (this, that) = (
        rng.sample(WORDS["names"], 2),
        rng.sample(WORDS["colours"], 2),
        rng.sample(WORDS["things"], 2),
    )
    story = f"{one} has {_a(x)} {this} and {two} has {_a(y)} {that}."
    who, colour, thing = rng.choice([(one, x, this), (two, y, that)])
    return story, f"{story} What colour is {who}'s {thing}?", f"{who}'s {thing} is {colour}."


def _whose(rng: Random) -> Fact:
    (one, two), (this, that) = rng.sample(WORDS["names"], 2), rng.sample(WORDS["things"], 2)
    story = f"{one} carries {_a(this)}, while {two} carries {_a(that)}."
    who, thing = rng.choice([(one, this), (two, that)])
    return story, f"{story} Who carries the {thing}?", f"{who} carries the {thing}."


def _where(rng: Random) -> Fact:
    (one, two), (here, there), (this, that) = (
        rng.sample(t, 2) for t in (WORDS["names"], WORDS["places"], WORDS["things"])
    )
    story = f"{one} left the {this} in the {here}. {two} left the {that} in the {there}."
    thing, place = rng.choice([(this, here), (that, there)])
    return story, f"{story} Where is the {thing}?", f"The {thing} is in the {place}."


def _bought(rng: Random) -> Fact:
    name, (x, y), a, b = (
        rng.choice(WORDS["names"]),
        rng.sample(WORDS["fruit"], 2),
        rng.randint(2, 9),
        rng.randint(2, 9),
    )
    story = f"{name} buys {a} {x} and {b} {y}."
    count, fruit = rng.choice([(a, x), (b, y)])
    return story, f"{story} How many {fruit} does {name} buy?", f"{name} buys {count} {fruit}."


def _taller(rng: Random) -> Fact:
    one, two = rng.sample(WORDS["names"], 2)
    word, back = rng.choice([("taller", "shorter"), ("older", "younger"), ("faster", "slower")])
    story = f"{one} is {word} than {two}."
    return story, f"{story} Who is {back}?", f"{two} is {back} than {one}."


def _first(rng: Random) -> Fact:
    things = rng.sample(WORDS["things"] + WORDS["fruit"], 3)
    at, which = rng.choice([(0, "first"), (-1, "last")])
    listed = f"{things[0]}, {things[1]}, {things[2]}"
    said = f"The {which} word is {things[at]}."
    return (
        f"In the list {listed}, the {which} word is {things[at]}.",
        f"Which word is {which}: {listed}?",
        said,
    )


def _letter(rng: Random) -> Fact:
    word = rng.choice(WORDS["things"] + WORDS["places"] + WORDS["fruit"] + WORDS["colours"])
    said = f"The word {word} begins with the letter {word[0]}."
    return said, f"With which letter does the word {word} begin?", said


def _weather(rng: Random) -> Fact:
    (one, two), (x, y) = rng.sample(WORDS["days"], 2), rng.sample(WORDS["weather"], 2)
    story = f"It was {x} on {one} and {y} on {two}."
    day, kind = rng.choice([(one, x), (two, y)])
    return story, f"{story} What was the weather on {day}?", f"It was {kind} on {day}."


def _count(rng: Random) -> Fact:
    n = rng.randint(1, 98)
    if rng.random() < 0.5:
        said = f"{n + 1} comes after {n}."
        return said, rng.choice([f"Which number comes after {n}?", f"What number follows {n}?"]), said
    said = f"{n} comes before {n + 1}."
    return said, f"What number is just before {n + 1}?", said


def _repeat(rng: Random) -> Fact:
    word, (often, times) = rng.choice(WORDS["things"] + WORDS["fruit"]), rng.choice([("twice", 2), ("three times", 3)])
    said = f"{often.capitalize()} it is {' '.join([word] * times)}."
    return said, f"Say the word {word} {often}.", said


def _commas(rng: Random) -> Fact:
    words = rng.sample(WORDS["things"] + WORDS["colours"], 3)
    said = f"With commas it is {', '.join(words)}."
    return said, f"Put commas between these words: {' '.join(words)}", said


def _swap(rng: Random) -> Fact:
    one, two = rng.choice(WORDS["colours"]), rng.choice(WORDS["things"])
    said = f"The other way round it is {two} {one}."
    return said, f"Say these two words the other way round: {one} {two}", said


def _begin(rng: Random) -> Fact:
    word, (_, question, answer) = rng.choice(["Well", "Indeed", "Surely"]), _opposite(rng)
    said = f"{word}, {answer[0].lower()}{answer[1:]}"
    return said, f"Begin with {word}: {question[0].lower()}{question[1:]}", said


def _yes_no(rng: Random) -> Fact:
    kind, other = rng.sample(list(WORDS["groups"]), 2)
    word = rng.choice(WORDS["groups"][kind])
    asked, said, answer = rng.choice([(kind, "is", "Yes."), (other, "is not", "No.")])
    statement = f"{_a(word).capitalize()} {said} {_a(asked)}."
    return statement, f"Answer yes or no: is {_a(word)} {_a(asked)}?", answer


def _untold(rng: Random) -> Fact:
    (one, two, who), (x, y), (this, that, thing) = (
        rng.sample(WORDS["names"], 3),
        rng.sample(WORDS["colours"], 2),
        rng.sample(WORDS["things"], 3),
    )
    story = f"{one} has {_a(x)} {this} and {two} has {_a(y)} {that}."
    answer = f"I don't know what colour {who}'s {thing} is."
    return f"{story} Nobody says what colour {who}'s {thing} is.", f"{story} What colour is {who}'s {thing}?", answer


def _unable(rng: Random) -> Fact:
    thing, place = rng.choice(WORDS["things"]), rng.choice(WORDS["places"])
    answer = f"I'm sorry, I can't bring you the {thing}; I can only answer questions."
    return f"Words alone can't bring the {thing}.", f"Can you bring me the {thing} from the {place}?", answer


def _unknown(rng: Random) -> Fact:
    name, day = rng.choice(WORDS["names"]), rng.choice(WORDS["days"])
    answer = f"I'm sorry, I don't know what {name} thinks."
    return f"Nobody knows what {name} thinks.", f"What will {name} think about on {day}?", answer


SKILLS: dict[str, dict[str, Callable[[Random], Fact]]] = {
    "arithmetic": {"sum": _sum, "difference": _difference, "larger": _larger, "clock": _clock},
    "order": {"day": _after(WORDS["days"], "day"), "month": _after(WORDS["months"], "month"), "count": _count},
    "facts": {
        "opposite": _opposite,
        "colour": _table(
            WORDS["usual_colour"],
            "the usual colour of {l} is {r}.",
            "What colour is {l}?",
            "Which colour has {l}?",
        ),
        "young": _table(WORDS["young"], "a young {l} is called {ar}.", "What is a young {l} called?", "What is {ar}?"),
        "sound": _table(WORDS["sounds"], "{al} {r}.", "What sound does {al} make?", "Which animal {r}?"),
        "home": _table(
            WORDS["homes"], "{al} lives in its {r}.", "Where does {al} live?", "Which animal lives in {ar}?"
        ),
        "job": _table(WORDS["jobs"], "{al} {r}.", "What does {al} do?", "Who {r}?"),
        "material": _table(
            WORDS["materials"], "{al} is made of {r}.", "What is {al} made of?", "Of which material is {al}?"
        ),
        "tool": _table(WORDS["tools"], "you use {al} to {r}.", "What is {al} for?", "What do you use to {r}?"),
        "member": _member,
    },
    "reading": {
        "owner": _owner,
        "whose": _whose,
        "where": _where,
        "bought": _bought,
        "taller": _taller,
        "weather": _weather,
    },
    "copying": {"first": _first, "letter": _letter, "repeat": _repeat, "commas": _commas},
    "instructions": {"swap": _swap, "begin": _begin, "yes_no": _yes_no},
    "declining": {"untold": _untold, "unable": _unable, "unknown": _unknown},
}
KINDS = {kind: draw for kinds in SKILLS.values() for kind, draw in kinds.items()}


def general_text(seed: int, tokens: int) -> Iterator[str]:
    """Plain everyday prose, a paragraph at a time, of about that many tokens (of four characters)."""
    rng = Random(seed)  # noqa: S311
    left = tokens * CHARACTERS_PER_TOKEN
    kinds = list(KINDS.values())
    while left > 0:
        if rng.random() < STORY_SHARE:
            paragraph = _story(rng)
        else:
            paragraph = " ".join(rng.choice(kinds)(rng)[0] for _ in range(rng.randint(3, 7)))
        left -= len(paragraph)
        yield paragraph


def general_examples(seed: int, n: int, split: Literal["train", "regression"]) -> list[Example]:
    """`n` different question and answer chats, evenly over the kinds; the splits share no question.

    An example's group is its kind; a kind that has no more to say leaves the rest to the others.
    """
    rng = Random(f"{seed} {split}")  # noqa: S311
    found: dict[str, Example] = {}
    for kind in cycle(KINDS):
        if len(found) >= n:
            break
        for _ in range(TRIES):
            _, question, answer = KINDS[kind](rng)
            example_id = hashlib.sha256(question.encode()).hexdigest()[:32]
            if split_of(question) == split and example_id not in found:
                found[example_id] = _chat(example_id, kind, question, answer)
                break
    return list(found.values())


def skill_of(example: Example) -> str:
    """The skill that a bundled chat takes; "own" of a chat that is the owner's."""
    return next((skill for skill, kinds in SKILLS.items() if example.group in kinds), "own")


def split_of(question: str) -> Literal["train", "regression"]:
    """Which split a question is in, by its own hash: for good, and whatever set it stands in."""
    digest = hashlib.sha256(question.encode()).hexdigest()
    return "regression" if int(digest[-8:], 16) < REGRESSION_SHARE * 2**32 else "train"


def _chat(example_id: str, kind: str, question: str, answer: str) -> Example:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Example(example_id, "general", "general", kind, "en", turns, [], [])


def _story(rng: Random) -> str:
    name, friend = rng.sample(WORDS["names"], 2)
    day = rng.choice(WORDS["days"])

    def fill(template: str) -> str:  # a constant of ours, never foreign text
        return template.format(
            name=name,
            friend=friend,
            day=day,
            place=rng.choice(WORDS["places"]),
            thing=rng.choice(WORDS["things"]),
            colour=rng.choice(WORDS["colours"]),
            adjective=rng.choice(WORDS["adjectives"]),
        )

    sentences = [f"It was a {rng.choice(WORDS['weather'])} {day} in {rng.choice(WORDS['months'])}."]
    for i in range(rng.randint(2, 5)):
        lead = f"{name}" if i == 0 else f"{rng.choice(WORDS['links'])} {name}"
        sentences.append(f"{lead} {fill(rng.choice(WORDS['actions']))}.")
    if rng.random() < 0.6:
        sentences.append(fill(rng.choice(WORDS["endings"])))
    return " ".join(sentences)
