"""Checks of the language of a response, and of English in capitals or small letters.

Source   IFEval (arXiv 2311.07911), as published with its checkers.
"""

from functools import cache
from threading import Lock
from typing import Any

from olmo2.base.errors import UsageError

# langdetect looks at 10,000 characters once it has taken out addresses, but would search all of the text for those.
MOST_CHARACTERS = 100_000
loading = Lock()


def response_language(response: str, language: str) -> bool:
    """Whether a response is in a language given by its ISO 639-1 code; one without any letters is.

    Raises ValueError if langdetect does not know the language.
    """
    with loading:
        known = languages().langlist
    if language not in known:
        raise ValueError(f"the argument language is {language!r}, none of {', '.join(sorted(known))}")
    return detect_language(response) in (language, None)


def english_capital(response: str) -> bool:
    """Whether a response is English and all its letters are capital."""
    return response.isupper() and detect_language(response) in ("en", None)


def english_lowercase(response: str) -> bool:
    """Whether a response is English and all its letters are small."""
    return response.islower() and detect_language(response) in ("en", None)


def detect_language(text: str) -> str | None:
    """Return the code of the likeliest language of `text`, the same each time; None if nothing of it can be read.

    Raises UsageError if langdetect is not installed.
    """
    with loading:
        detector = languages().create()
    from langdetect.lang_detect_exception import LangDetectException

    detector.append(text[:MOST_CHARACTERS])
    try:
        return str(detector.detect())
    except LangDetectException:
        return None


@cache
def languages() -> Any:
    """Return langdetect's languages, read once (about a second). Callers hold the lock `loading`."""
    try:
        from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
    except ImportError:
        raise UsageError("telling languages apart needs the package langdetect: pip install 'olmo2[eval]'") from None
    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(0)
    return factory
