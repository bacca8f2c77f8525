"""The shapes of responses, by hand after the published definition."""

import pytest

from olmo2.grading import instruction_format as checks


@pytest.mark.parametrize(
    ("response", "count"),
    [
        ("[name] at [home address]", 2),
        ("[a [b] c]", 1),
        ("[]", 1),
        ("[a\nb]", 0),
        ("[link](url) - [ ] task", 2),
        ("]a[ b", 0),
        ("[a]]b] [[c]", 2),
    ],
)
def test_placeholders(response: str, count: int) -> None:
    assert [number for number in range(5) if checks.number_placeholders(response, number)] == list(range(count + 1))


@pytest.mark.parametrize(
    ("response", "marker", "follows"),
    [
        ("Bye\nP.S. hi", "P.S.", True),
        ("Bye p. s. hi", "P.S.", True),
        ("P.S hi", "P.S.", False),
        ("P.P.S. hi", "P.S.", True),
        ("P.P.S hi", "P.P.S", True),
        ("p. p. s", "P.P.S", True),
        ("P.S. hi", "P.P.S", False),
        ("p.  s. hi", "P.S.", False),
        ("NOTE: hi", " Note: ", True),
        ("NOTE hi", "Note:", False),
    ],
)
def test_postscripts(response: str, marker: str, follows: bool) -> None:
    assert checks.postscript(response, marker) is follows


@pytest.mark.parametrize(
    ("response", "count"),
    [
        ("* a\n* b\n- c", 3),
        ("  * a\n\t- b", 2),
        ("*a*", 1),
        ("**a**", 0),
        ("** a\n* b", 1),
        ("-a\n---\n-", 3),
        ("a * b - c", 0),
        ("\n\n* a", 1),
        ("*\n* a\n* b", 2),  # the asterisk alone takes the line below with it
        ("* a\n*", 1),
        ("• a\n1. b\n+ c", 0),
    ],
)
def test_bullets(response: str, count: int) -> None:
    assert [number for number in range(6) if checks.number_bullet_lists(response, number)] == [count]


@pytest.mark.parametrize(
    ("response", "count"),
    [
        ("*a* b *c d*", 2),
        ("**a**", 1),
        ("**a** **b**", 2),
        ("**a** and *b*", 2),
        ("***a***", 2),  # once as single, once as double
        ("* a\n* b", 0),
        ("* a * b", 1),
        ("** **", 0),
        ("*a\nb*", 0),
    ],
)
def test_highlights(response: str, count: int) -> None:
    found = [number for number in range(8) if checks.number_highlighted_sections(response, number)]
    assert found == list(range(count + 1))


def test_sections() -> None:
    text = "Section 1\na\nSection2 b SubSection\n3 section 4 Section X"
    assert checks.multiple_sections(text, " Section", 3) and not checks.multiple_sections(text, "Section", 4)
    assert checks.multiple_sections("(Day 1) (Day 2)", "(Day", 2)


@pytest.mark.parametrize(
    ("response", "follows"),
    [
        ("<<Joy>>\ntext", True),
        ("a <<b>> c", True),
        ("<<>>", False),
        ("<< >>", False),
        ("<<\n>>", False),
        ("<<<>>>", False),
        ("<<>>>", False),
        ("<<<a>>>", True),
        ("<a>", False),
        (">>a<<", False),
        ("<<>> a >>", True),
        ("<< >>\n<<b>>", True),
    ],
)
def test_titles(response: str, follows: bool) -> None:
    assert checks.title(response) is follows


@pytest.mark.parametrize(
    ("response", "follows"),
    [
        ('{"a": [1, 2]}', True),
        ('```json\n{"a": 1}\n```', True),
        ('```Json\n{"a": 1}```', True),
        ('```JSON {"a": 1}', True),
        ("```\n[]\n```", True),
        ("```json```\n[]", True),
        ("``json\n[]\n``", False),
        ("Here it is:\n```json\n[]\n```", False),
        ("```json\n[]\n```\nBye", False),
        ("5", True),
        ("NaN", True),
        ('"text"', True),
        ("text", False),
        ("{'a': 1}", False),
        ('{"a": 1,}', False),
        ("[" * 100_000, False),
        ("9" * 100_000, False),
    ],
)
def test_json(response: str, follows: bool) -> None:
    assert checks.json_format(response) is follows


def test_constrained_responses() -> None:
    assert checks.constrained_response("Well: My answer is maybe. Or so")
    assert not checks.constrained_response("my answer is yes.") and not checks.constrained_response("My answer is no")


@pytest.mark.parametrize(
    ("response", "follows"),
    [
        ("a\n******\nb", True),
        ("******a******b******", True),
        ("a ****** a", False),
        ("a", False),
        ("a******b******c", False),
        ("a************b", False),
        ("a*******b", True),  # the seventh asterisk belongs to the second
        ("a *** b", False),
    ],
)
def test_two_responses(response: str, follows: bool) -> None:
    assert checks.two_responses(response) is follows


def test_the_request_is_repeated() -> None:
    assert checks.repeat_prompt("\n write A poem. Here it is", "Write a poem. ")
    assert not checks.repeat_prompt("Sure: Write a poem.", "Write a poem.")


def test_ends() -> None:
    assert checks.end_checker('He said "that is ALL!" ', "That is all!") and checks.end_checker("Peace!", " peace! ")
    assert not checks.end_checker("Peace! Bye", "Peace!") and not checks.end_checker("Peace!'", "Peace!")


def test_quotations() -> None:
    assert checks.quotation(' "a "b" c"\n') and checks.quotation('""')
    assert not checks.quotation('"') and not checks.quotation("“a”") and not checks.quotation('"a".')
