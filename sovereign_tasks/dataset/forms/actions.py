"""Whether words say what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Verbs that hardly begin a sentence as anything else, and those that do unless something of theirs follows.
_VERBS = (
    "add adjust allow apply ask attach avoid bring build buy call check choose clear climb collect compare connect "
    "consider consult contact create cut decide deploy disconnect discuss download draw drive edit enable ensure enter "
    "fasten fill find follow free get give go hammer hang hire hold insert inspect install keep lay leave let lift "
    "locate loosen lower make measure mix move note obtain peel place pour prepare press pull push put raise read "
    "reinstall remember remove repair repeat replace rinse roll run save scrape screw scoop seek select send set shake "
    "shut skip slide slip soak speak spray spread start stay stir stop strip submit switch take talk tell throw tie "
    "tighten touch try turn type unplug unscrew use verify visit wait walk wash wear wipe work write"
)
_AMBIGUOUS = (
    "arrange bend book change clean click close complete configure cover dig drill dry email empty extend file finish "
    "fit fix flash flush fold glue heat limit lock look mark mount nail normalize open order pack paint pay phone "
    "photograph pick plan plug print prime record reduce refer report request reset restart return review sand "
    "scan schedule seal seat shape sign sort square stack stand store swing tap test tile trace treat trim update "
    "upload vacuum watch water wrap"
)
_ITS = (
    r"(?:the|an?|your|our|any|all|each|every|both|it|them|him|her|this|that|these|those|its|their|one|two|only|another"
    r"|some|more|no|with|to|for|in|on|off|out|up|down|at|by|from|into|over|under|around|back|for|until|as|between"
    r"|along|against|through|across|again|\w+ly)\b"
)
_ACTION = re.compile(
    r"(?:then |next,? |finally,? |first,? )?(?:please |always |never |simply |just |immediately |carefully |gently )?"
    rf"(?:(?:{'|'.join(_VERBS.split())}) (?!out (?:our|the|this)|and |or |is |are |was |will |that )(?=\w|\W\w)"
    rf"|(?:{'|'.join(_AMBIGUOUS.split())}) {_ITS}"
    r"|(?:do not|don't|make sure|be sure|be careful) \w"
    r"|you (?:should|must|need to|ought to|will need to|may need to|may want to|have to) \w"
    r"|we recommend |it(?:'s| is) (?:best|important|essential|a good idea) to )",
    re.IGNORECASE,
)
_ASKS_A_FAVOUR = re.compile(
    r"please consider|(?:please )?let us know|subscribe|sign up|follow us|(?:please )?give us|donate|sponsor",
    re.IGNORECASE,
)


def says_what_to_do(text: str, at: int = 0) -> bool:
    """Whether the sentence that begins at a place tells its reader what to do, for the reader's own sake."""
    return bool(_ACTION.match(text, at)) and not _ASKS_A_FAVOUR.match(text, at)


def are_actions(items: Sequence[str]) -> bool:
    """Whether most items of a list are things to do, or what "we" do."""
    told = sum(says_what_to_do(item) or bool(re.match(r"(?:we|our)\b", item, re.IGNORECASE)) for item in items)
    return 5 * told >= 3 * len(items)
