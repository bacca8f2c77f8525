r"""The two forms in which answers written in LaTeX are compared as texts: Minerva's, and that of the MATH data set.

Both come about by the replacements that their authors published, in their order and with their mistakes ("\left"
loses its "ft" to the feet), since published scores depend on them. All take time in proportion to the text.

Sources   Minerva (arXiv 2206.14858), appendix D; MATH (arXiv 2103.03874), the published grader; both as OLMES has them
"""

import re

MINERVA_REPLACED = (
    *(("an ", ""), ("a ", ""), (".$", "$"), (r"\$", ""), (r"\ ", ""), (" ", ""), ("mbox", "text")),
    *((r",\text{and}", ","), (r"\text{and}", ","), (r"\text{m}", r"\text{}")),
)
MINERVA_REMOVED = (
    *("square", "ways", "integers", "dollars", "mph", "inches", "ft", "hours", "km", "units", r"\ldots", "sue"),
    *("points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds", "meters", "meals", "edges"),
    *("students", "childrentickets", "multiples", r"\text{s}", r"\text{.}", "\\text{\ns}", r"\text{}^2", r"\text{}^3"),
    *("\\text{\n}", r"\text{}", r"\mathrm{th}", r"^\circ", r"^{\circ}", r"\;", r",\!", "{,}", '"', r"\dots"),
)
# Where a command has no end on its line, it matches up to the end of the line rather than not at all: to look
# for its end again and again would take quadratic time.
FIRST_FORMULA = re.compile(r"^[^$\n]*+\$([^$\n]*+)\$.*", re.MULTILINE)
WRAPPERS = (
    *(re.compile(rf"\\{command}{{([^}}\n]*+}}?)") for command in ("text", "textbf", "overline")),
    re.compile(r"\\boxed{(.*}|.*)"),
)
COMPETITION_REPLACED = (
    *(("\n", ""), (r"\!", ""), (r"\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), (r"\left", ""), (r"\right", "")),
    *((r"^{\circ}", ""), (r"^\circ", ""), (r"\$", "")),
)


def minerva_form(text: str) -> str:
    """Return an answer without units, spaces and wrappers, with braces around what is short for a fraction or root."""
    text = text.rpartition("=")[2]
    for old, new in (*MINERVA_REPLACED, *((word, "") for word in MINERVA_REMOVED)):
        text = text.replace(old, new)
    text = FIRST_FORMULA.sub(r"$\1$", text)
    for wrapper in WRAPPERS:
        text = wrapper.sub(unwrapped, text)
    text = re.sub("frac([^{])(.)", r"frac{\1}{\2}", text)
    text = re.sub("sqrt([^{])", r"sqrt{\1}", text)
    text = text.replace("$", "")
    number = text.replace(",", "")
    return number if number.isdigit() else text


def unwrapped(match: re.Match[str]) -> str:
    """Return the content of a command instead of the command; what has no end stays as it is."""
    return match[1][:-1] if match[1].endswith("}") else match[0]


def same_competition_form(left: str, right: str) -> bool:
    """Whether two answers are the same text in the form of MATH's grader, or as they stand if it cannot read one."""
    try:
        return competition_form(left) == competition_form(right)
    except ValueError:
        return left == right


def competition_form(text: str) -> str:
    """Return an answer without spaces, units and percent signs, every fraction written as one.

    Raises ValueError for what the published grader fails on: a fraction or root without operand, two units, and a
    slash between anything but whole numbers.
    """
    for old, new in COMPETITION_REPLACED:
        text = text.replace(old, new)
    if text.count(r"\text{ ") > 1:
        raise ValueError("two units")
    text = text.partition(r"\text{ ")[0].replace(r"\%", "").replace(r"\%", "")  # twice, as published
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    if text.startswith("."):
        text = "0" + text
    name, _, value = text.partition("=")
    if text.count("=") == 1 and len(name) <= 2:
        text = value
    text = with_braced_fractions(with_braced_roots(text).replace(" ", ""))
    return with_slash_as_fraction(r"\frac{1}{2}" if text == "0.5" else text)


def with_braced_roots(text: str) -> str:
    """Return a text whose every root has its operand in braces: the first character, if there are none."""
    first, *others = text.split(r"\sqrt")
    if "" in others:
        raise ValueError("a root of nothing")
    return first + "".join(r"\sqrt" + (part if part[0] == "{" else f"{{{part[0]}}}{part[1:]}") for part in others)


def with_braced_fractions(text: str) -> str:
    """Return a text whose every fraction has its operands in braces; unchanged if one consists of a single character.

    What follows a numerator in braces is left alone, as published.
    """
    first, *others = text.split(r"\frac")
    for operands in others:
        if not operands:
            raise ValueError("a fraction of nothing")
        if len(operands) == 1 and operands != "{":
            return text
    return first + "".join(map(braced_fraction, others))


def braced_fraction(operands: str) -> str:
    r"""Return "\frac" and what follows it, the first two characters in braces unless a brace stands there."""
    if operands[0] == "{":
        return r"\frac" + operands
    denominator = operands[1] if operands[1] == "{" else f"{{{operands[1]}}}"
    return rf"\frac{{{operands[0]}}}{denominator}{operands[2:]}"


def with_slash_as_fraction(text: str) -> str:
    """Return two whole numbers with a slash between them as a fraction, other texts as they are."""
    if text.count("/") != 1:
        return text
    top, _, bottom = text.partition("/")
    return rf"\frac{{{top}}}{{{bottom}}}" if f"{int(top)}/{int(bottom)}" == text else text
