"""Suggestions for names that are not known."""

from olmo2.base.suggestions import did_you_mean, nearest

KNOWN = ["temperature", "top_k", "top_p"]


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("temprature", KNOWN) == "; did you mean temperature?"
    assert did_you_mean("top_pp", KNOWN, "--sampling.", cutoff=0.7) == "; did you mean --sampling.top_p?"
    assert nearest("topk", KNOWN) == "; did you mean top_k?"


def test_what_is_like_nothing() -> None:
    assert did_you_mean("x", KNOWN) == "" and did_you_mean("top", KNOWN, cutoff=0.9) == ""
    assert nearest("x", KNOWN, "--") == "; known: --temperature, --top_k, --top_p"
    assert nearest("x", [str(number) for number in range(100, 120)]).endswith("110, 111, ...")
