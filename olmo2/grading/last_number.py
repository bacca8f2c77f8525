"""The last number of a written solution, as GSM8K's published scores take it.

It keeps a sign before decimals alone, and "5.0" is not "5"; `final_answer.py` is the reading without these faults.

Source   OLMES, task gsm8k::tulu
"""

import re

COMMA_IN_NUMBER = re.compile(r"(\d),(\d)")
NUMBER = re.compile(r"[-+]?\d*\.\d+|\d+")
FINAL_DOT = re.compile(r"\.$")


def extract_last_number(response: str) -> str:
    """Return the last number without commas; the whole response if it holds none, as published."""
    text = COMMA_IN_NUMBER.sub(r"\1\2", response)
    numbers = NUMBER.findall(text)
    return str(numbers[-1]) if numbers else text


def score_last_number(response: str, gold: str) -> float:
    """Return 1 if the response ends in the number that `gold`, an answer or a worked solution, ends in; else 0."""
    return float(compared_form(extract_last_number(response)) == compared_form(extract_last_number(gold)))


def compared_form(text: str) -> str:
    """Return a text in lower case, without commas and dollar signs, what leads up to "#### ", and a final dot."""
    answer = text.replace(",", "").replace("$", "").rpartition("#### ")[2]
    return FINAL_DOT.sub("", answer).lower()
