"""Text cut into sentences, the way that benchmarks which count sentences do it.

Source   the Punkt algorithm (Kiss and Strunk, Computational Linguistics 32, 2006) as nltk 3.8.1 applies it, the
version that OLMES measures OLMo 2 with; the lists of English words are a selection. What is peculiar to it is kept,
because published counts have it too: "e.g." ends a sentence, so does the "1." of a list before a capital letter,
and a period inside curly quotes does not.
"""

import re
from collections.abc import Iterator
from itertools import chain, pairwise, starmap


def _words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# Words that a period follows as part of the word. Of single letters, these alone never end a sentence.
ABBREVIATIONS = _words(
    """
    c d e f g h k l m n p r s t v w adm ave bros co col corp cos ct dr ft gen inc jr lt ltd maj messrs mg mr mrs ms
    prof rep reps sen sr st vs vt yr jan feb aug sep sept oct nov dec ok sw tues wed fri ala ariz calif colo conn
    fla ga ill kan ky mich minn nev okla ore pa tenn va wash wis a.m p.m ph.d m.b.a u.k u.n u.s u.s.a u.s.s.r w.va
    d.c l.a n.c n.d n.h n.j n.m n.y r.i s.c a.a a.c a.d a.s b.v c.v e.h j.b j.c j.j j.k j.p j.r n.v r.h r.j s.a
    s.p.a s.s t.j w.w
    """
)
# Words that begin a sentence where they follow an abbreviation or an ellipsis with a capital letter.
STARTING_WORDS = _words(
    """
    above according advantages afterwards allow almost along already although always among analysis answers anyone
    anything anyway applications apply argument ask basic become begin being besides better between beyond both
    build but call cannot causes challenges characters check choose combine components conclusion conclusions
    consider create cultural customer definition despite different directions disadvantages discuss discussion does
    done early effects eight either elements else emotional encourage ensure enter environment equally especially
    ethical even eventually evidence exactly examples exercises explain explore features finally furthermore given
    goals he hence her here hers herself him himself however i if imagine implement importance important improved in
    include including increased indeed ingredients initially instead instructions into it lack language learn least
    likewise many mean meanwhile mental moreover most negative nevertheless nonetheless nor note nothing objectives
    okay optional otherwise overall personal physical please plot political positive prepare private probably
    problem product provide question questions recommendations reduced remember remove respectively results right
    same scope secondary select separately serve setting seven similar similarly simply since skills so some someone
    sometimes soon sorry specific specifically stages step still structure subsequently such surely surprisingly
    symptoms ten thank thanks the them themes there therefore these they think this though through throughout thus
    tips together tomorrow tone topics traditional treatment true try under understand unfortunately unless unlike
    upon using various very wait were when whenever wherever whether which while within without yes yesterday yet
    your
    """
)
# Words that do not, but are no names either: an initial ("option B.") ends a sentence before one of them.
OTHER_WORDS = _words(
    """
    a about across action activities actually add additional advanced after again against ago all also an and
    another any are around as at avoid away back background be because before below benefits best books bring budget
    by can care case close come company continue could current data day days design development did do drop due
    during each easy economic education environmental equipment every everyone everything executive false feel few
    financial find first five focus food for four from further future general generally get give go good great had
    hand has have having health help high his history how human identify impact information introduction is its
    itself just keep key know large last later leave legal less let like little live local long look love low main
    major make market marketing materials maybe me methods might minor mission more much must my name national
    natural nearly never new next nine no nobody none not now obviously of off often old on once one only open or
    order other others our out over parts people perhaps place plants point possible primary principles products
    professional public purpose quality quickly quite rather read really resources review risk role run safety save
    say second security see services set several she short should show six small social something special start
    state stop store story strategies strong summary support sure take talk target technology tell than that their
    theme then thing third those three time to today too tools topic toward training two types until up use used
    usually want was watch water way we well what whatever where who whose why will with work world would write
    wrong you young
    """
)
# Words that the number before them belongs to, whatever their case.
NUMBERED_WORDS = _words(
    """
    business commodities corrections credit dividend financing insider international leisure letters notable review who
    """
)

PUNCTUATION = r"""[)";}\]*:@'({\[?!]"""
RUN = r"-{2,}|\.{2,}|(?:\.[^\S\n]){2,}\."
# A token is a run of dashes or dots, a word (which may hold periods and commas), or a single sign.
TOKEN = re.compile(
    rf"""{RUN}|[^\s("`{{\[:;&#*@)}}\]\-,](?:(?!{PUNCTUATION}|{RUN}|,(?:\s|\Z|{PUNCTUATION}|{RUN}))\S)*|\S"""
)
MARK = re.compile(rf"[.?!](?=(?P<after>{PUNCTUATION}|\s+(?P<next>\S+)))")
LAST_MARK = re.compile(rf"(?<![^ \t\n\r\v\f])[^ \t\n\r\v\f]*{MARK.pattern}")
CLOSING = re.compile(r"""["')\]}]+(?:\s+|(?=--)|$)""", re.MULTILINE)
INITIAL = re.compile(r"[^\W\d]\.")
NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*")


def split_sentences(text: str) -> Iterator[str]:
    """Yield the sentences of `text` one by one, without the space between them, each with its closing quotes.

    Time is linear in the length of the text, whatever it holds.
    """
    moved = 0
    for (start, end), following in pairwise(chain(_spans(text), [(len(text), len(text))])):
        closing = CLOSING.match(text, *following)
        start, moved = start + moved, len(closing[0]) if closing else 0
        if closing:
            end = closing.start() + len(closing[0].rstrip())
        if start < end:
            yield text[start:end]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of every sentence, where closing quotes still belong to the sentence after."""
    start = 0
    for mark in _marks(text):
        context = mark[0] + mark["after"]
        if mark[0][-1] != "." or any(starmap(ends_sentence, pairwise(TOKEN.findall(context)))):
            yield start, mark.end()
            start = mark.end() if mark["next"] is None else mark.start("next")
    yield start, len(text.rstrip())


def _marks(text: str) -> Iterator[re.Match[str]]:
    """Yield every mark that may end a sentence, with what stands before it up to a space and what follows it.

    Of several marks without a space between them only the last one counts, and the first if nothing is before it.
    """
    for last in LAST_MARK.finditer(text):
        first = MARK.match(text, last.start())
        if first and first.end() < last.end() and last.start() != 1:  # at 1 the one space before it counts as a word
            yield first
        yield last


def ends_sentence(token: str, following: str) -> bool:
    """Whether a sentence ends with `token`, given the token after it."""
    if token in ("?", "!", "."):
        return True
    if not token.endswith("."):
        return False
    stem, word = token[:-1].lower(), following.lower().removesuffix(".")
    is_abbreviation = token.startswith("..") or stem in ABBREVIATIONS or stem.rpartition("-")[2] in ABBREVIATIONS
    goes_on = following in (";", ":", ",", ".", "!", "?") or following[0].islower()
    is_capital = following[0].isupper()
    if INITIAL.fullmatch(token):
        is_name = is_capital and word not in STARTING_WORDS and word not in OTHER_WORDS
        return not (is_abbreviation or goes_on or is_name)
    if is_abbreviation:
        return is_capital and word in STARTING_WORDS
    return not (NUMBER.fullmatch(token) and (goes_on or word in NUMBERED_WORDS))
