"""Detectors of people's names, by the words around them and a list of given names.

Without a trained recogniser this finds names that are introduced, addressed, signed or labelled, names next to an
e-mail address that holds them, and given name + surname where the given name is a common and unambiguous one. It
does not find other names; names known from metadata are always found (`known_names`).
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Iterator, Sequence

Hit = tuple[str, int, int]

UP, LOW = "A-ZÀ-ÖØ-ÞĄĆĘŁŃŚŹŻČĎŇŘŠŤŮŽĐĞİŞ", "a-zß-öø-ÿąćęłńśźżčďňřšťůžđğış"
WORD = rf"(?:(?:O'|D'|Mc|Mac|De|Di|La|Le)?[{UP}][{LOW}]+(?:[-'][{UP}][{LOW}]+){{0,4}})"
_PARTICLE = r"(?:van|von|de|der|den|del|della|di|da|la|le|bin|al|el)"
_NAME = rf"{WORD}(?: (?:{_PARTICLE} ){{0,2}}{WORD}| [{UP}]\.(?= {WORD})){{0,3}}(?:,? (?:Jr|Sr|II|III|IV)\b\.?)?"
_FULL = rf"{WORD}(?: [{UP}]\.)?(?: (?:{_PARTICLE} ){{0,2}}{WORD}){{1,2}}(?:,? (?:Jr|Sr|II|III|IV)\b\.?)?"

# Common given names of several languages that are no common word, place, month or trade name.
_GIVEN = frozenset(
    """
aaron abdul abigail abraham adam adriana adrian agnes ahmed aisha akira alan albert alejandra alejandro alessandro
alexander alexandra alexandre alexis alfred alfredo ali alice alicia alina alison allison alvin amanda amelia amir amit
amy ana anand andrea andreas andrei andrew andrzej angela angelina anita anna annabelle anne annie anthony antoine
antonio anya arjun arlene arnold arthur ashley astrid audrey barbara beatrice beatriz benjamin bernadette bernard
bernd beth betty beverly birgit bjorn boris bradley brandon brenda brendan brian bridget brittany bruno bryan caitlin
camille carla carlos carmen carol caroline carolyn catherine cecilia celine chandra charles charlie chen chloe
christian christina christine christoph christopher claire clara claudia clement colin connor corinne craig cristina
crystal cynthia damien daniel daniela danielle danny darlene darren dave david deborah debra denise dennis derek
devon diana diane diego dieter dimitri dmitri dolores dominic dominique donald donna dorothy douglas duncan dylan ebony
eddie eduardo edward edwin eileen elaine eleanor elena elijah elisa elizabeth ella ellen elliot emil emilia emily emma
enrique eric erica erik erika erin ernesto esther ethan eugene eva evan evelyn fabian fatima felicia felipe felix
fernanda fernando fiona francesca francesco francis francisco francois frank franklin franz fred frederick friedrich
gabriel gabriela gary geoffrey george gerald gerard gerhard gianni gilbert giovanni giulia gloria gordon graham greg
gregory greta guillaume guillermo gunter gustavo hannah hans harold harriet harry harvey hassan heather hector heidi
heinrich heinz helen helena helga henri henrik henry herbert hiroshi howard hubert hugo ian ibrahim ignacio igor ilse
ines ingrid irene irina isaac isabel isabella isabelle ivan jackie jacob jacqueline jacques jake jakob jamal james
jamie jana jane janet janice jared jasmine jason javier jean jeff jeffrey jennifer jenny jeremy jerome jerry jesse
jessica jesus jill jim jimmy joan joanna joanne joao joe joel johan johann johanna johannes john johnny jon jonas
jonathan jorge jose josef joseph josephine joshua joyce juan juanita judith judy julia julian juliana julie julien
julio jurgen justin kaitlyn karen karim karin karl karla katarina kate katherine kathleen kathryn kathy katie katja
kayla keith kelly kenneth kenji kenny kevin khalid kimberly klaus kristen kristin kristina kumar kurt kyle lakshmi
larry latoya laura lauren laurence laurent lawrence leah lena leo leon leonard leonardo leslie leticia liam lillian
linda lindsay lisa lloyd logan lois lorenzo lorraine louis louise lucas lucia luciana luca lucy luis luisa luigi luke
lydia lynn maggie malcolm manuel manuela marc marcel marcia marco marcos marcus margaret margarita maria mariana
marianne marie mario marion marjorie markus marlene marta martha martin martina mary mateo mathieu matt matteo
matthew matthias maureen maurice maximilian megan mehmet mei melanie melissa mercedes michael michel michele
michelle miguel mihai mike mikhail mildred mina miranda miriam mitchell mohamed mohammad mohammed moira monica monika
morgan muhammad myra nadia nancy naomi natalia natalie natasha nathan nathaniel neha neil nicholas nick nicolas nicole
nigel nikhil nikolai nina noah nora norma norman oleg olga oliver olivia omar oscar oskar otto pablo pamela paolo
patricia patrick paul paula paulo pauline pavel pedro peggy peter petra philip philippe phillip phyllis pierre pierrette
pietro piotr priya rachel rafael rahul raj rajesh ralph ramon randall raphael raquel raul ravi raymond rebecca renate
renee ricardo richard rita robert roberta roberto robin rodney rodrigo roger roland ronald rosa rosemary ross roxanne
roy ruben rudolf russell ruth ryan sabine sabrina salma salvatore samantha samir samuel sandeep sandra sanjay sara
sarah satya scott sean sebastian selma serena sergei sergio shannon sharon shawn sheila sherry shirley silvia
simon simone
sofia sonia sophia sophie stacey stefan stefanie stella stephanie stephen steve steven stuart sunil suresh susan susana
suzanne sven sylvia takeshi tamara tanya tara tatiana teresa terrence thelma theodore theresa thomas tiffany tim timothy
tina todd tomas tommy tony tracy travis trevor tristan tyler ulrich ulrike ursula valentina valerie vanessa vanya vera
veronica vicki victor victoria vijay vikram vincent vincenzo virginie vivian vladimir waldemar walter wanda warren wayne
wei wendy werner wesley wilhelm william wolfgang xavier yasmin yolanda yosef yuki yusuf yvonne zachary zoe
""".split()
)
# Second words that make a given name a company, a product, a place or a thing.
_NOT_SURNAME = frozenset(
    """
hardie moore deere manville williams-sonoma street st avenue ave road rd boulevard blvd drive dr lane ln way court ct
place pl parkway highway hwy beach island islands county city lake river creek park valley heights springs hills
university college school hospital church center centre institute foundation museum library airport stadium bridge
roofing roof roofs construction contracting contractors contractor builders building supply supplies homes home
materials windows siding gutters exterior exteriors company co inc llc ltd corp corporation group gmbh and sons
brothers bros services service solutions systems industries international bank insurance mutual
street's road's day week month year house edition guide award prize act law test method
monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
october november december north south east west america england france germany falls
national association alliance partnership program project access technology technical assistance network council
federation department agency office board committee clinic health care information hotline clearinghouse division
bureau commission store shop warehouse depot press news magazine main line desk fax phone toll free sales
quality social security
obdyke blueskin torch underlayment membrane flashing shingle shingles shake shakes tile tiles panel panels vent vents
sealant adhesive primer caulk skylight skylights coating coatings fasteners nailer kit kits
""".split()
)
_STORM = re.compile(
    r"(?:hurricanes?|storm|cyclone|typhoon|san|santa|santo|st\.?|saint|fort|port|lake|mount|mt\.?) $", re.I
)
_GENERIC = frozenset(
    """
all everyone everybody guys folks team there sir madam homeowner homeowners customer customers friend friends again
so for you very much in to the this that a an us me my our your his her it support sales service office customer help
emergency information info now today here professional local licensed roofing contractor contractors roofer roofers
manufacturer manager management department administrator admin insurance company agent neighbor neighbors editor
readers reader house home not also just only please what when where why how if i we they and or but no yes hi hello
reddit mods mod god lord santa mom dad owner owners tenant landlord new old first second same anyone someone nobody
mr mrs ms dr prof american german french british english spanish italian canadian mexican none unknown
anonymous n na tbd various
""".split()
)
_TITLE = re.compile(
    rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Herr|Frau|Monsieur|Madame|Se[nñ]or|Se[nñ]ora|Signor|Signora)"
    rf"\b\.? (?P<name>{_NAME})"
)
_INTRODUCED = re.compile(
    rf"\b(?i:my (?:full )?name is|my name's|the name is|i am called|they call me|name is|signed by|written by|"
    rf"prepared by|posted by|reviewed by|submitted by|installed by|ticket from|mi nombre es|me llamo|je m'appelle|"
    rf"mein name ist|ich hei(?:ß|ss)e) (?P<name>{_NAME})"
)
_SELF = re.compile(
    rf"\b(?:(?i:i'm|i am|this is|it's) (?P<name>{_NAME})(?=(?: (?:from|with|at|over at|here|again)\b|[,.!]? and i\b))"
    rf"|(?m:^|[.!?] )(?P<here>{WORD}) here[,.!])"
)
_CONTACT = re.compile(
    rf"\b(?i:contact|call|calls?|ask for|e?mail|text|speak (?:to|with)|talk(?:ed)? (?:to|with)|spoke "
    rf"(?:to|with)|reach out to|attn:?|"
    rf"attention:?|c/o|patient|employee|user|pager duty:|owned by|record for|traveler|"
    rf"met with|wife|husband|son|daughter|neighbor|brother|sister|boss|foreman|estimator|adjuster),? (?P<name>{_NAME})"
)
_LABEL = re.compile(
    rf"(?:^|"
    rf"[\n{{,|;(*-]\s{{0,8}})[\"']?(?i:(?:(?:full|first|last|contact|customer|client|owner|user|account|"
    rf"card ?holder)[ _]?)?name|"
    rf"owner|employee|customer|client|homeowner|tenant|patient|contact|technician|inspector|estimator|sender|"
    rf"recipient|from|to|attn|attending|signed|author|by|beneficiary|payee)[\"']?\s?[:=]\s?[\"'*]{{0,3}}(?P<name>{_NAME})"
    rf"(?=\s{{0,8}}(?:$|[\n\"',;|<(*.\[]))"
)
_SIGNED = re.compile(
    rf"(?:^|\n|[.!?] )\s{{0,8}}(?i:thanks(?: again| in advance)?|thank you|many thanks|(?:best|kind|warm)?(?: "
    rf"regards| wishes)|best|regards|cheers|"
    rf"sincerely|respectfully|yours(?: truly| sincerely| faithfully)?|warmly|love|take care|mit "
    rf"freundlichen gr(?:üßen|uessen)|cordialement|saludos)"
    rf"[,.!]{{0,5}}[ \t]{{0,8}}(?:\n[ \t]{{0,8}}){{1,4}}[-–—~]{{0,2}} ?(?P<name>{_NAME})[ ]{{0,8}}(?=\n|$)"
    rf"|(?:\n|[.!?] )[–—~] ?(?P<dash>{_NAME})\s{{0,8}}\Z|\n\n-{{1,2}} ?(?P<last>{WORD})\s{{0,8}}\Z"
)
_GREETED = re.compile(
    rf"(?:^|\n|[.!?] )\s{{0,8}}(?i:hi|hello|dear|hey|thanks|thank you),? (?P<name>{_NAME})(?=\s?[,!.:\n]|$)"
)
_FULL_NAME = re.compile(rf"(?<![\w'@/.-])(?P<name>{_FULL})(?!\w)")
_LEADS_TO = re.compile(
    r"[\s,:;|(<–-]{1,4}|,? (?:\w+ ){0,3}(?:at|on|is|under|by):? ?\(?|, (?:tele)?phone:? \(?|, (?:\w+ ){2,6}?\w+: \(?"
)
_NEAR_EMAIL = re.compile(
    rf"(?P<name>{_FULL})\W{{1,6}}(?:(?i:at|is|email:?|e-mail:?|:)\W{{0,3}}){{0,2}}(?P<local>[\w.+%-]{{1,64}})@"
)

# Given names, nicknames and handles that are also common words of the language or of a building trade.
_ORDINARY = frozenset(
    """
user admin guest owner roofer builder contractor anonymous deleted editor team staff support member moderator mod bot
homeowner landlord tenant worker installer inspector estimator foreman carpenter mason plumber painter handyman
roof roofs roofing shingle shingles slate tile tiles metal steel copper tin gutter gutters flashing flashings ridge
valley rake eave eaves gable hip dormer chimney vent vents deck decking rafter rafters truss felt tar pitch slope
ladder hammer nail nails screw screws drip seam board boards wood cedar pine oak brick stone gravel sand cement concrete
leak leaks rain snow ice hail storm wind weather summit peak crest apex cap cover sheet panel panels coating sealant
house home homes building construction contracting repair repairs solar skylight insulation attic siding
epdm tpo pvc osb
mark rich grace will bill rob frank gene ray art pat may june april august hope faith joy rose ivy jack cliff drew
dean lance miles pierce chase hunter cooper taylor skip buck bud chip chuck dale glen forest gale guy heath herb
jade jay ken lane mac max nick norm olive pearl penny peg piper reed rod robin rusty sandy sky star sunny sue
summer autumn winter spring terry trip victor violet wade walker ward don earl duke king prince bishop christian
dawn destiny ginger holly hazel heather iris jasmine lily daisy melody merry amber crystal crew ruby carol dolly gay
lee pip rocky stormy woody rowan ash aspen basil clay colt dash
case page price rush short long young old new best good great little big small black white green brown gray grey red
blue gold silver one two three four five six seven eight nine ten first second last next day night week month year
time times work works working people person man men woman women boy girl kid kids friend friends family mother father
and are but for had has have her here him his how its let not now off our out own see she the their them there they
this was way were what when where which who why you your yes all also any ask back been both can come could did does
done down each even ever every few find from get give going got help him into just keep know like look made make many
maybe more most much must need never only other over part place please put really right said same say should since some
something still such sure take tell than thank thanks that then thing things think those through today too try under
until upon use used using very want water well went while with without would yet company service services local
question questions answer answers problem problems advice test tests tester dog cat fish bear wolf eagle hawk fox bird
truck car boat bike road hill river lake mountain city town country north south east west american texas florida
""".split()
)


def find_names(text: str, contacts: Sequence[int]) -> Iterator[Hit]:
    """Names by cue; a full name that was found is found again wherever else it stands.

    `contacts` is where telephone numbers, mail and street addresses begin: a full name shortly before one is one.
    """
    found: set[str] = set()
    cued = [(p, True) for p in (_TITLE, _INTRODUCED, _LABEL, _SIGNED)]
    for pattern, trusted in [*cued, (_SELF, False), (_CONTACT, False), (_GREETED, False), (_FULL_NAME, False)]:
        for match in pattern.finditer(text):
            group = next(g for g in ("name", "here", "dash", "last") if match.groupdict().get(g))
            start, end = match.span(group)
            if length := _accept(match[group], trusted, text[max(0, start - 12) : start]):
                yield "NAME", start, min(end, start + length)
                found.add(text[start : start + length])
    for match in _FULL_NAME.finditer(text):
        after = bisect.bisect_left(contacts, match.end())
        words = {w.casefold() for w in match["name"].split(" ")}
        near = (
            after < len(contacts)
            and not words & _NOT_SURNAME
            and _LEADS_TO.fullmatch(text[match.end() : contacts[after]])
        )
        if near and (length := _accept(match["name"], True, "")):
            yield "NAME", match.start(), match.start() + length
            found.add(match["name"][:length])
    for match in _NEAR_EMAIL.finditer(text):
        parts = re.split(r"[ '-]", match["name"].casefold())
        if any(len(p) > 2 and p in match["local"].casefold() for p in parts):
            yield "NAME", *match.span("name")
            found.add(match["name"])
    for name in sorted(n for n in found if " " in n):
        yield from (("NAME", *m.span()) for m in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text))


def known_names(text: str, names: Sequence[str]) -> Iterator[Hit]:
    """Names and handles known from metadata, wherever they occur as words of their own.

    Names are found in any case, but for those that are ordinary words: these only capitalised, and only in a text
    that doesn't have them in small letters too ("Mark says: mark the ridge"). A handle that is an ordinary word is
    left to the detector of @ and u/ forms, since blanking every "roofer" would ruin the text and hide nobody.
    """
    folded = text.casefold()
    for name in names:
        name = " ".join(name.split()).removeprefix("u/").removeprefix("@")
        if len(name) < 2 or not any(part in folded for part in name.casefold().split(" ")):
            continue
        parts = name.split(" ")
        odd = bool(re.search(r"[\d_@.]|[a-z][A-Z]", name))
        if len(parts) > 1 or odd:
            yield from _occurrences(text, name, re.IGNORECASE)
        elif len(name) > 2 or name[0].isupper():
            yield from _one_word(text, name)
        for part in parts if len(parts) > 1 else []:
            if len(part) >= 3 and part[0].isupper() and part.casefold() not in _NOT_SURNAME:
                yield from _one_word(text, part)


def _one_word(text: str, name: str) -> Iterator[Hit]:
    """A name of one plain word; of two letters it may be a word of any language ("Al", "Jo")."""
    if name.casefold() not in _ORDINARY and len(name) > 2:
        yield from _occurrences(text, name, re.IGNORECASE)
    elif name[0].isupper() and not re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", text):
        yield from _occurrences(text, name, 0)


def _occurrences(text: str, name: str, flags: int) -> Iterator[Hit]:
    pattern = rf"(?<![\w@]){re.escape(name)}(?!\w)"
    return (("NAME", *m.span()) for m in re.finditer(pattern, text, flags))


def _accept(name: str, trusted: bool, before: str) -> int:
    """How many characters of a candidate are a name, 0 for none."""
    words = name.split(" ")
    low = [w.casefold().rstrip(".,") for w in words]
    if _STORM.search(before) or low[0] in _GENERIC or not (trusted or _plain(low[0]) in _GIVEN):
        return 0
    for i, word in enumerate(low[1:], 1):
        if word in _NOT_SURNAME:
            return 0
        if word in _GENERIC:
            return len(" ".join(words[:i])) if i > 1 or trusted else 0
    return len(name)


def _plain(word: str) -> str:
    """The first part of a given name without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", word.split("-")[0]) if not unicodedata.combining(c))
