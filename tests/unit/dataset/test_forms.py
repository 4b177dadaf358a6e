"""Each form is found where it stands, asks what its passage answers, and is left out where it would mislead."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovereign_tasks.config import DatasetConfig
from sovereign_tasks.dataset.examples import derive
from sovereign_tasks.dataset.forms import find_passages
from sovereign_tasks.dataset.forms.answers import words
from sovereign_tasks.dataset.forms.outline import read_outline
from sovereign_tasks.dataset.forms.passage import plain
from sovereign_tasks.demo import documents as house_documents
from sovereign_tasks.demo import pages as site_pages
from sovereign_tasks.example_rules import TemplateConfig
from sovereign_tasks.records import Document, Example

from .test_examples import document

CONFIG = DatasetConfig(min_answer_chars=20)


def found(text: str, title: str = "Slate roofs") -> list[tuple[str, str, str]]:
    examples, _ = derive([document("d", text, title=title)], CONFIG)
    return [(e.kind, e.question, e.answer) for e in sorted(examples, key=lambda e: e.spans[-1]["start"])]


def reasons(text: str, title: str = "Slate roofs") -> list[str]:
    return [r.reason for r in derive([document("d", text, title=title)], CONFIG)[1]]


ANSWER = "Slate lasts a hundred years where its nails are copper."


@pytest.mark.parametrize(
    "text",
    [
        f"Q: How long does slate last?\nA: {ANSWER}",
        f"Q: How long does slate last?\n\nA: {ANSWER}",
        f"**Q:** How long does slate last?\n\n**A:** {ANSWER}",
        f"Question 1: How long does slate last?\n\nAnswer: {ANSWER}",
        f"**How long does slate last?**\n{ANSWER}",
        f"**How long does slate last?** {ANSWER}",
        f"**How long does slate last?**\n\n{ANSWER}",
        f"How long does slate last?\n: {ANSWER}",
        f"How long does slate last?\n{ANSWER}\n\nWho lays slate?\nA slater lays slate, with hammer and ripper.",
    ],
)
def test_questions_without_a_heading_are_found(text: str) -> None:
    assert found(text)[0] == ("faq", "How long does slate last?", ANSWER)


HYPHENED = [
    "A-frame roofs are the steepest that slate is hung on.",
    "A 3-tab shingle roof lasts for fifteen to twenty years.",
    "A 30-Year shingle lasts for about as long as it says.",
]
ABBREVIATED = [
    "A – that is the first of three – needs four in twelve.",
    "A. Smith described the first slate roof of the county.",
    "A) needs four in twelve, and b) needs six in twelve.",
    "A4: the sheet on which a slater draws the whole roof.",
]


@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        ("Q: Which roof is the steepest?\n", HYPHENED),
        ("## Which roof is the steepest?\n\n", HYPHENED + ABBREVIATED),
        ("**Which roof is the steepest?**\n\n", HYPHENED + ABBREVIATED),
        ("Which roof is the steepest?\n: ", HYPHENED + ABBREVIATED),
    ],
)
def test_an_answer_that_begins_with_a_as_a_word_keeps_it(asked: str, answers: list[str]) -> None:
    for answer in answers:
        assert [a for _, _, a in found(asked + answer)] == [answer]


@pytest.mark.parametrize(
    ("language", "asked", "answer"),
    [
        ("ru", "Сколько служит крыша из сланца?", "Она служит сто лет, если гвозди медные."),
        ("uk", "Скільки служить дах зі сланцю?", "Він служить сто років, якщо цвяхи мідні."),
        ("el", "Πόσο αντέχει μια στέγη;", "Αντέχει εκατό χρόνια με χάλκινα καρφιά."),
        ("zh", "石板屋顶能用多久？", "如果钉子是铜的，它可以用一百年，很少需要修理和维护。"),
        ("ja", "スレート屋根は何年もちますか？", "銅の釘を使えば百年もちますので、ほとんど手入れは要りません。"),
        ("hi", "स्लेट की छत कितने साल चलती है?", "ताँबे की कीलों के साथ वह सौ साल तक टिकती है।"),
        ("fr", "Combien dure un toit en ardoise ?", "Il dure cent ans là où les crochets sont étanches."),
    ],
)
def test_an_answer_in_any_script_is_compared_by_its_words(language: str, asked: str, answer: str) -> None:
    def derived(said: str) -> tuple[list[str], list[str]]:
        page = replace(document("d", f"Q: {asked}\nA: {said}"), language=language)
        examples, rejections = derive([page], CONFIG)
        return [e.answer for e in examples], [r.reason for r in rejections]

    assert derived(answer) == ([answer], [])
    again = asked.rstrip("?？; ") + ("。" if language in ("zh", "ja") else ".")
    assert derived(" ".join([again] * 3)) == ([], ["answer_in_question"])


def test_words_keep_their_accents_and_english_ones_are_as_they_were() -> None:
    assert words("Étanche, façade, e\u0301te\u0301") == {"étanche", "façade", "e\u0301te\u0301"}
    assert words("It's $1,200.50 (12%) for snake_case-d roofs; don’t!") == set(
        "it's $1 200 50 12% for snake case d roofs don t".split()
    )
    assert words("用铜 nails") == {"用", "铜", "nails"}


@pytest.mark.parametrize("q_and_a", ["Q: A:", "Q. A.", "Q) A)", "Q - A –", "Q1: A1:", "Q #1: A #1:", "Q1 – A1 –"])
def test_marks_of_question_and_answer_are_left_out(q_and_a: str) -> None:
    asks, answers = q_and_a[: q_and_a.index("A") - 1], q_and_a[q_and_a.index("A") :]
    assert found(f"{asks} How long does slate last?\n{answers} {ANSWER}") == [
        ("faq", "How long does slate last?", ANSWER)
    ]


def test_a_word_that_begins_like_a_mark_asks_nothing() -> None:
    assert found(f"Q-tips clean which part of a slate roof?\n{ANSWER}") == []
    assert reasons(f"Q-tips clean which part of a slate roof?\n{ANSWER}") == []


def test_a_question_line_without_end_is_no_question_and_opens_no_answer() -> None:
    long = f"How long does slate last {'where it is laid on battens ' * 20}of oak?"
    text = f"Q: {long}\nA: {ANSWER}\n\nQ: Who lays slate?\nA: A slater lays slate."
    assert found(text) == [("faq", "Who lays slate?", "A slater lays slate.")]
    assert reasons(text) == ["question_too_long"]


def test_each_question_of_a_list_keeps_its_own_answer_to_the_last_paragraph() -> None:
    text = f"Q: How long does slate last?\nA: {ANSWER}\n\nNot more.\n\nQ: Who lays slate?\nA: A slater lays slate."
    assert [a for _, _, a in found(text)] == [f"{ANSWER}\n\nNot more.", "A slater lays slate."]


def test_one_bare_question_in_prose_is_a_turn_of_speech() -> None:
    assert found(f"Why would anybody choose slate?\nBecause of its looks. {ANSWER}") == []


@pytest.mark.parametrize(
    ("heading", "title", "question"),
    [
        ("What does it cost?", "Slate roofs", "Slate roofs: what does it cost?"),
        ("What does it cost?", "Slate roofs | FAQ", "Slate roofs: what does it cost?"),
        ("What does it cost?", "FAQ: slate roofs", "Slate roofs: what does it cost?"),
        ("How long do they last?", "Slate roofs: a guide", "Slate roofs: how long do they last?"),
        ("What are the symptoms?", "Rotten decking", "Rotten decking: what are the symptoms?"),
        ("Who signs?", "Roof contracts", "Roof contracts: who signs?"),
        ("Is it legal to cover old shingles?", "Slate roofs", "Is it legal to cover old shingles?"),
        ("How do I walk a slate roof without breaking it?", "x", "How do I walk a slate roof without breaking it?"),
        ("How do I know that a roof leaks when it rains?", "x", "How do I know that a roof leaks when it rains?"),
        ("what holds a slate in place", "Slate roofs", None),
    ],
)
def test_a_question_stands_alone_or_takes_its_pages_subject(heading: str, title: str, question: str | None) -> None:
    asked = [q for _, q, _ in found(f"## {heading}\n\n{ANSWER}", title)]
    assert asked == ([question] if question else [])


def test_the_nearest_heading_names_the_subject_more_closely() -> None:
    text = f"## Natural stone\n\nIt is heavy.\n\n### What does it cost?\n\n{ANSWER}"
    assert found(text, "Roof materials") == [("heading", "Roof materials, Natural stone: what does it cost?", ANSWER)]


@pytest.mark.parametrize("title", ["", "FAQ", "Overview", "What does a roof cost?", "x" * 200])
def test_a_question_that_leans_on_a_page_without_a_subject_is_left_out(title: str) -> None:
    assert found(f"## What does it cost?\n\n{ANSWER}", title) == []
    assert reasons(f"## What does it cost?\n\n{ANSWER}", title) == ["no_subject"]


@pytest.mark.parametrize(
    ("heading", "reason"),
    [
        ("Are you ready to start?", "appeal"),
        ("Was this page helpful?", "appeal"),
        ("Questions?", "no_question"),
        ("Opting out?", "no_question"),
    ],
)
def test_what_a_page_asks_its_reader_is_no_question(heading: str, reason: str) -> None:
    assert reasons(f"## {heading}\n\n{ANSWER}") == [reason]


def test_a_question_heading_keeps_its_subsections_up_to_the_next_question() -> None:
    text = (
        "## What are the signs of a worn slate roof?\n\nThere are two.\n\n### Flakes\n\nFlakes lie in the gutter.\n\n"
        "### Slips\n\nSlates hang loose.\n\n### Who mends a slate roof?\n\nA slater mends it, with a ripper."
    )
    (_, _, signs), (_, _, mends) = found(text)
    assert signs == "There are two.\n\nFlakes\n\nFlakes lie in the gutter.\n\nSlips\n\nSlates hang loose."
    assert mends == "A slater mends it, with a ripper."


STEPS = "1. Mark the broken slate.\n2. Pull its nails with a ripper.\n3. Hang the new slate on a hook."


@pytest.mark.parametrize(
    ("text", "title", "kind", "question"),
    [
        (f"## How to replace a slate\n\n{STEPS}", "Slate roofs", "howto", "How do I replace a slate?"),
        (
            f"## How To Hang Your New Slate\n\n{STEPS}",
            "x",
            "howto",
            "How do you hang your new slate?",
        ),
        (f"Wear gloves.\n\n{STEPS}", "How to replace a slate", "howto", "How do I replace a slate?"),
        (
            f"## Installation\n\n{STEPS}",
            "Slate hooks",
            "process",
            "Slate hooks: what are the steps of the installation?",
        ),
        (f"## The process\n\n{STEPS}", "Replacing slate", "process", "Replacing slate: what are the steps?"),
        (f"## The repair process\n\n{STEPS}", "Slate", "process", "Slate: what are the steps of the repair?"),
        (f"## Hanging a new slate\n\n{STEPS}", "Slate", "process", "What are the steps of hanging a new slate?"),
    ],
)
def test_steps_are_found_below_what_they_lead_to(text: str, title: str, kind: str, question: str) -> None:
    assert found(text, title) == [(kind, question, STEPS)]


def test_a_list_of_names_below_a_process_is_no_process() -> None:
    assert found("## Installation\n\n1. Slate\n2. Copper hooks\n3. Felt of two layers") == []


@pytest.mark.parametrize(
    ("text", "title", "question"),
    [
        (
            "## Ridge vents\n\nRidge vents are slots along the ridge, like other ridge vents.",
            "Vents",
            "What are ridge vents?",
        ),
        (
            "## Ridge vent\n\nA ridge vent is a slot along the ridge below a cap.",
            "Vents",
            "What is a ridge vent?",
        ),
        (
            "A ridge vent (or cap vent) is a slot along the ridge below a cap.",
            "Ridge vent",
            "What is a ridge vent?",
        ),
        (
            "## Flashing\n\nFlashing is any thin metal which seals a joint; flashing keeps water out.",
            "x",
            "What is flashing?",
        ),
        (
            "## Glossary\n\nRidge vent\n: A slot along the ridge, before the ridge cap.",
            "Vents",
            "What is a ridge vent?",
        ),
        (
            "## Glossary\n\n- Eave: An edge of a roof above a wall.\n- Rake: the sloped edge from eave to ridge.",
            "Vents",
            "What is an eave?",
        ),
    ],
)
def test_a_first_sentence_that_says_what_the_heading_names_defines_it(text: str, title: str, question: str) -> None:
    (kind, asked, answer) = found(text, title)[0]
    assert (kind, asked) == ("definition", question)
    assert answer in text


def test_an_item_of_two_lines_ends_no_glossary() -> None:
    hip = "- Hip: a sloped ridge where two sides of a roof meet.\n"
    rake = "- Rake: the sloped edge of a roof from eave to ridge.\n"
    text = f"## Glossary\n\n{hip}- Valley:\n  - open\n  - woven\n{rake}"
    assert [q for _, q, _ in found(text, "Vents")] == ["What is a Hip?", "What is Rake?"]


def test_an_item_of_a_glossary_that_another_holds_is_found_at_its_own_place() -> None:
    text = "## Glossary\n\n- Eave, rake: the sloped edge of a roof.\n- rake: the sloped edge of a roof.\n"
    starts = [p.start for p in find_passages(document("d", text, title="Vents")) if p.kind == "definition"]
    assert [text[:start].count("rake: ") for start in starts] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "## Ridge vent\n\nA ridge vent is not always needed on a small roof.",
        "## Ridge vents\n\nRidge vents are available at all stores of the chain.",
        "## Prices\n\nA ridge vent is a slot along the ridge below a cap.",
        "## Ridge vent\n\nIt is a slot along the ridge, under a cap.",
        "## Slate\n\nSlate is the best stone for a roof in a wet climate.",
    ],
)
def test_a_statement_that_defines_nothing_makes_no_definition(text: str) -> None:
    assert [row for row in found(text, "Vents") if row[0] == "definition"] == []


POINTS = "- Copper nails outlast iron ones.\n- Never walk on slate."


@pytest.mark.parametrize(
    ("heading", "title", "question"),
    [
        ("Key takeaways", "Slate roofs", "What are the key points about slate roofs?"),
        ("Summary", "Why slate roofs are replaced", "Why slate roofs are replaced: what are the key points?"),
        ("Tips for slate roofs", "Roofs", "What are useful tips for slate roofs?"),
    ],
)  # fmt: skip
def test_bullets_below_a_heading_that_promises_them_are_key_points(heading: str, title: str, question: str) -> None:
    text = f"We like slate roofs.\n\n## {heading}\n\n{POINTS}\n\nRead more."
    assert found(text, title) == [("insight", question, POINTS)]


TABLE = """| Material | Price | Life | Weight |
|---|---|---|---|
| Natural slate | $18 to $30 | 100 years | 8 lb |
| Clay tile | $12 to $20 | 60 years | - |
"""


def test_each_row_of_a_table_answers_with_its_own_values() -> None:
    first, second = found(TABLE, "Roof materials")
    assert first == (
        "spec",
        "Roof materials: what are the figures for Natural slate (Price, Life, Weight)?",
        "Material: Natural slate; Price: $18 to $30; Life: 100 years; Weight: 8 lb",
    )
    assert second[2] == "Material: Clay tile; Price: $12 to $20; Life: 60 years"


def test_a_table_of_two_columns_makes_one_example() -> None:
    text = "| Property | Value |\n|---|---|\n| Weight | 8 lb per square foot |\n| Life | 100 years |\n"
    said = "- Weight: 8 lb per square foot\n- Life: 100 years"
    assert found(text) == [("spec", "Slate roofs: what are the specifications?", said)]


@pytest.mark.parametrize(
    "text",
    [
        # its header is a row
        "| Founded | 1998 |\n|---|---|\n| Seat | Bangor |\n| Owner | The quarry's own workers |",
        "| A | A | B |\n|---|---|---|\n| one | two | three |\n| four | five | six |",
        "| | Price | Life |\n|---|---|---|\n| Slate | $18 | 100 years |\n| Slate | $20 | 90 years |",
    ],
)
def test_a_table_whose_columns_or_rows_have_no_names_of_their_own_makes_none(text: str) -> None:
    assert found(text) == []


def test_a_long_table_is_cut_with_a_reason() -> None:
    rows = "\n".join(f"| Slate number {n} | ${n} | {n} years |" for n in range(40))
    text = f"| Kind | Price | Life |\n|---|---|---|\n{rows}"
    assert len(found(text)) == 30
    assert reasons(text) == ["table_too_long"]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (
            "If a slate slips, call a slater before the next rain. Do not climb up yourself.",
            "What should I do if a slate slips?",
        ),
        (
            "When you find moss, lichen or algae, do not use a pressure washer on it.",
            "Slate roofs: what should you do when you find moss, lichen or algae?",
        ),
        (
            "## If hail has hit your slate roof\n\nPhotograph every slope, and call your insurer within a week.",
            "What should you do if hail has hit your slate roof?",
        ),
        (
            "## When to replace a slate roof\n\nA fifth of all slates being broken is the usual limit.",
            "When should I replace a slate roof?",
        ),
    ],
)
def test_a_case_and_what_to_do_in_it_make_a_scenario(text: str, question: str) -> None:
    ((kind, asked, answer),) = found(text)
    assert (kind, asked) == ("scenario", question)
    assert text.endswith(answer)


@pytest.mark.parametrize(
    "text",
    [
        "If a slate slips, water finds its way to the battens within a year.",
        "If it slips, call a slater before the next rain comes over the hill.",
        "When the quarry closed, the village lost half of its people in a year.",
        "If so, call a slater before the next rain comes over the hill.",
        "When the scaffold stands, the slater can lift the old ridge tiles, call a helper to catch them, and go on.",
        "## When to use\n\nUse a slate hook wherever a nail can't be reached.",
    ],
)
def test_a_case_without_an_action_or_of_its_own_makes_none(text: str) -> None:
    assert found(text) == []


def test_code_is_no_heading_and_no_list() -> None:
    assert found(f"```\n# What is this?\n\n{ANSWER}\n\n1. one\n```") == []


def test_nothing_is_asked_about_what_was_taken_out_as_personal() -> None:
    assert reasons(f"## How long do the slate roofs of [NAME_1] last?\n\n{ANSWER}") == ["placeholder_in_question"]


def test_the_same_question_twice_on_a_page_is_asked_once() -> None:
    text = f"## How long does slate last?\n\n{ANSWER}\n\n## How long does slate last?\n\nThat depends on its nails."
    assert len(found(text)) == 1
    assert reasons(text) == ["repeated_on_page"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("The signs of wear on a slate roof are:", "cut_off"),
        ("Signs of wear on a slate roof include\n\nSend for a slater when you see one.", "cut_off"),
        ("and so it lasts a hundred years, with copper nails.", "cut_off"),
        ("As mentioned above, slate lasts a hundred years.", "refers_elsewhere"),
    ],
)
def test_an_answer_that_is_cut_or_stands_elsewhere_is_left_out(body: str, reason: str) -> None:
    assert reasons(f"## How long does a slate roof last?\n\n{body}") == [reason]


TEMPLATE = TemplateConfig(name="t", columns=["a", "b"], questions=["What is {a}?"], answers=["It is {b}, all in all."])
STALLING = [
    "- ",
    "1. x",
    "| a ",
    "- - ",
    ": b",
    "Q: x? ",
    "A - b ",
    "**a?** ",
    "If a, b, ",
    "## a\n",
    "  - ",
    "a | b\n",
    "[a ",
    "*a ",
]
TOLD_TWICE = "| a | b |\n|---|---|\n| c | {n} |\n| **d{n}** | {n} |\n\n"


def seconds(line: str, lines: int) -> float:
    """What texts of so many of a line take of the processor, the best of three; no two are the same text."""
    took = []
    for attempt in range(3):
        rows = "".join(TOLD_TWICE.replace("{n}", str(n)) for n in range(lines // 40)) if line == TOLD_TWICE else ""
        texts = [rows] if rows else [line * lines, f"{line}\n" * lines, f"a\n\n{line}\n\n" * (lines // 4)]
        pages = [document("d", f"{text}\n\n{attempt}", title="Slate roofs") for text in texts]
        pages.append(document("d", f"{texts[-1]}\n\n{attempt} times", title=line * lines))
        began = time.process_time()
        for page in pages:
            derive([page], CONFIG.model_copy(update={"synthesis": [TEMPLATE]}))
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.parametrize("line", [*STALLING, TOLD_TWICE])
def test_twice_the_text_takes_no_form_or_template_much_more_than_twice_the_work(line: str) -> None:
    small, double, fourfold = (seconds(line, lines) for lines in (1_000, 2_000, 4_000))
    assert fourfold < 9 * small + 0.05  # four times the text; work that grows by its square takes sixteen times as long
    assert fourfold < 3 * double + 0.05


def bundled() -> list[Document]:
    from sovereign_tasks.curate.extract import extract

    made = []
    for path, page in site_pages(1).items():
        read = extract(page.body, "text/html")
        made.append(document(path, read.text, group=path, title=read.title))
    for name, text in house_documents(1).items():
        read = extract(text.encode(), "text/html" if name.endswith(".html") else "text/markdown")
        made.append(document(name, read.text, group=name, title=read.title))
    return made


def check_grounded(examples: list[Example], documents: dict[str, Document]) -> None:
    """Every sentence of an answer stands in its own span, every value of a rewritten row in that row; once each."""
    used: dict[str, list[tuple[int, int]]] = {}
    for example in examples:
        own = example.spans[-1]
        text = documents[own["doc_id"]].text
        assert all(0 <= s["start"] < s["end"] <= len(documents[s["doc_id"]].text) for s in example.spans)
        used.setdefault(own["doc_id"], []).append((own["start"], own["end"]))
        passage = plain(text[own["start"] : own["end"]])
        if example.kind == "spec":
            blocks = read_outline(documents[own["doc_id"]]).blocks
            (table,) = (b.table for b in blocks if b.start <= own["start"] < b.end)
            head = table.header
            cells = {cell for row in table.rows if own["start"] <= row.start < own["end"] for cell in row.cells}
            for pair in example.answer.replace("\n- ", "; ").removeprefix("- ").split("; "):
                assert any(pair == f"{name}: {value}" for name in {*head.cells, *cells} for value in cells if value), (
                    pair
                )
        else:
            flat = " ".join(passage.split())
            assert all(
                " ".join(s.split()) in flat for s in example.answer.replace("\n", ". ").split(". ") if s.strip(" .")
            )
    for ranges in used.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(ranges))), "a passage is used twice"


def test_every_answer_of_the_bundled_domain_stands_in_its_spans() -> None:
    documents = bundled()
    examples, _ = derive(documents, DatasetConfig())
    check_grounded(examples, {d.doc_id: d for d in documents})
    assert len(examples) > 1000
    assert {"heading", "howto", "spec", "faq"} <= {e.kind for e in examples}


WORDS = st.sampled_from(
    "slate roofs a ridge vent is the price If when you call nails, copper. What How to Q: A: lasts? it |".split()
)
LINES = st.builds(
    lambda mark, words: mark + " ".join(words),
    st.sampled_from(["", "", "## ", "### ", "1. ", "2. ", "- ", "  - ", ": ", "| ", "> ", "```", "Q: ", "A: ", "**"]),
    st.lists(WORDS, min_size=0, max_size=9),
)
PARTS = st.one_of(
    LINES,
    LINES,
    st.just(TABLE),
    st.just(STEPS),
    st.just(f"## How to lay slate\n\n{STEPS}"),
    st.just(f"## Tips\n\n{POINTS}"),
    st.just(f"**How long does slate last?** {ANSWER}"),
    st.just("## Ridge vent\n\nA ridge vent is a slot along a ridge below a cap."),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(PARTS, st.sampled_from(["\n", "\n\n"])), max_size=25), st.sampled_from(["Slate roofs", ""]))
def test_whatever_the_markdown_answers_stand_in_their_spans(parts: list[tuple[str, str]], title: str) -> None:
    one = document("d", "".join(part + end for part, end in parts), title=title)
    examples, _ = derive([one], DatasetConfig(min_answer_chars=10))
    check_grounded(examples, {"d": one})


PAGES = Path(__file__).resolve().parents[4] / "shared/data/pages"


@pytest.mark.skipif(not PAGES.is_dir(), reason="no pages here")
def test_real_pages_give_answers_that_stand_in_their_spans() -> None:
    from sovereign_tasks.curate.extract import extract

    documents = []
    for path in sorted(PAGES.glob("*/source.html")):
        read = extract(path.read_bytes(), "text/html")
        documents.append(document(path.parent.name, read.text, group=path.parent.name, title=read.title))
    examples, _ = derive(documents, DatasetConfig())
    check_grounded(examples, {d.doc_id: d for d in documents})
    assert examples
