"""Checks of the shape of a response: lists, sections, titles, quotes, two answers, JSON and the like.

The patterns count what the published ones count, but read a text in time linear in its length.

Source   IFEval (arXiv 2311.07911), as published with its checkers.
"""

import json
import re

# No second bracket within: of "[a [b]" the published pattern takes all, this one "[b]", and both count one.
PLACEHOLDER = re.compile(r"\[[^\[\]\n]*\]")
# An asterisk that ends its line makes one bullet together with the line below it.
STAR_BULLET = re.compile(r"^[^\S\n]*\*[^*].*$", re.MULTILINE)
DASH_BULLET = re.compile(r"^[^\S\n]*-", re.MULTILINE)
HIGHLIGHT = re.compile(r"\*[^\n*]*\*")
DOUBLE_HIGHLIGHT = re.compile(r"\*\*([^\n*]*)\*\*")
OPENED_TITLE = re.compile(r"<<.*")
POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
FENCE = re.compile(r"\A(?:```json)?(?:```Json)?(?:```JSON)?(?:```)?")
CONSTRAINED_RESPONSES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def number_placeholders(response: str, num_placeholders: int) -> bool:
    """Whether there are at least so many placeholders in square brackets, each on one line."""
    return len(PLACEHOLDER.findall(response)) >= num_placeholders


def postscript(response: str, postscript_marker: str) -> bool:
    """Whether the marker of a postscript occurs, wherever and in whatever case; P.S. also with a space: P. S."""
    marker = postscript_marker.strip()
    return re.search(POSTSCRIPTS.get(marker, re.escape(marker.lower())), response.lower()) is not None


def number_bullet_lists(response: str, num_bullets: int) -> bool:
    """Whether exactly so many lines begin with a bullet, a single asterisk or a dash."""
    return len(STAR_BULLET.findall(response)) + len(DASH_BULLET.findall(response)) == num_bullets


def number_highlighted_sections(response: str, num_highlights: int) -> bool:
    """Whether at least so many parts of lines stand between asterisks, single or double."""
    single = sum(1 for part in HIGHLIGHT.findall(response) if part.strip("*").strip())
    return single + sum(1 for part in DOUBLE_HIGHLIGHT.findall(response) if part.strip()) >= num_highlights


def multiple_sections(response: str, section_spliter: str, num_sections: int) -> bool:
    """Whether there are at least so many sections, each begun by the word and a number."""
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", response)) >= num_sections


def title(response: str) -> bool:
    """Whether a line holds a title in double angular brackets, from the first "<<" to the last ">>", not empty."""
    for opened in OPENED_TITLE.findall(response):
        end = opened.rfind(">>")
        if end > 2 and opened[: end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def json_format(response: str) -> bool:
    """Whether the response is JSON, within a fence of three backticks or not."""
    text = response.strip()
    try:
        json.loads(FENCE.sub("", text).removesuffix("```").strip())
    except (ValueError, RecursionError):  # the latter where it is nested too deeply to be read
        return False
    return True


def constrained_response(response: str) -> bool:
    """Whether one of the three answers that are allowed occurs."""
    return any(answer in response for answer in CONSTRAINED_RESPONSES)


def two_responses(response: str) -> bool:
    """Whether six asterisks divide two responses that differ; they may also stand before or after all."""
    parts = [part.strip() for part in response.split("******")]
    answers = [part for part in parts if part]
    return len(answers) == 2 and answers[0] != answers[1] and all(parts[1:-1])


def repeat_prompt(response: str, prompt_to_repeat: str) -> bool:
    """Whether the response begins with the request, in whatever case."""
    return response.strip().lower().startswith(prompt_to_repeat.strip().lower())


def end_checker(response: str, end_phrase: str) -> bool:
    """Whether the response ends with the phrase, in whatever case and with double quotes after it or not."""
    return response.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def quotation(response: str) -> bool:
    """Whether the response stands in double quotes."""
    text = response.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'
