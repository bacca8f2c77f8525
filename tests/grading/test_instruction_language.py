"""Languages of sentences of our own, and that they do not change from call to call or thread to thread."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from olmo2.base.errors import UsageError
from olmo2.grading.instruction_language import (
    detect_language,
    english_capital,
    english_lowercase,
    languages,
    response_language,
)

pytest.importorskip("langdetect", reason="languages need the extra eval")

ENGLISH = "The weather is fine today, and we are going to the market to buy some bread and apples."
SENTENCES = {
    "de": "Das Wetter ist heute schön, und wir gehen auf den Markt, um Brot und Äpfel zu kaufen.",
    "it": "Oggi il tempo è bello e andiamo al mercato a comprare del pane e delle mele.",
    "pt": "Hoje o tempo está bom e nós vamos ao mercado comprar pão e maçãs para as crianças.",
    "ru": "Сегодня хорошая погода, и мы идём на рынок, чтобы купить хлеб и яблоки.",
    "fi": "Sää on tänään kaunis, ja menemme torille ostamaan leipää ja omenoita lapsille.",
    "vi": "Hôm nay thời tiết đẹp và chúng tôi đi chợ để mua bánh mì và táo.",
    "ko": "오늘은 날씨가 좋아서 우리는 시장에 가서 빵과 사과를 삽니다.",
    "hi": "आज मौसम अच्छा है और हम रोटी और सेब खरीदने के लिए बाज़ार जा रहे हैं।",
    "ta": "இன்று வானிலை நன்றாக உள்ளது, நாங்கள் ரொட்டி வாங்க சந்தைக்குச் செல்கிறோம்.",
    "th": "วันนี้อากาศดี และเราไปตลาดเพื่อซื้อขนมปังและแอปเปิล",
    "ar": "الطقس جميل اليوم ونحن ذاهبون إلى السوق لشراء الخبز والتفاح.",
    "sw": "Leo hali ya hewa ni nzuri na tunakwenda sokoni kununua mkate na matunda ya watoto.",
    "en": ENGLISH,
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_in_its_language(language: str) -> None:
    assert {code for code in SENTENCES if response_language(SENTENCES[language], code)} == {language}


def test_a_text_without_letters_follows() -> None:
    assert detect_language("123 !?") is None and response_language("123 !?", "de")
    assert not english_capital("123 !?") and not english_lowercase("123 !?")


def test_english_in_one_case() -> None:
    assert english_capital(ENGLISH.upper()) and english_lowercase(ENGLISH.lower())
    assert not english_capital(ENGLISH) and not english_lowercase(ENGLISH)
    assert not english_lowercase(SENTENCES["de"].lower())
    assert english_capital("\N{LATIN CAPITAL LETTER EZH}")  # nothing that it knows: counts as English


def test_an_unknown_language_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"the argument language is 'xx', none of af, ar, .*zh-tw"):
        response_language(ENGLISH, "xx")


def test_threads_agree_from_the_first_call_on() -> None:
    languages.cache_clear()
    texts = [*SENTENCES.values(), "ok", "la la la", "Hotel Taxi Bar"] * 3
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(detect_language, texts)) == [detect_language(text) for text in texts]


@pytest.mark.parametrize("unit", ["a", "a@", "http://a ", "\ud800\x00", "é", "中 ", ENGLISH])
def test_a_megabyte_takes_a_second(unit: str) -> None:
    text = (unit * 1_000_000)[:1_000_000]
    detect_language("first the languages are loaded")
    start = time.process_time()
    assert detect_language(text) == detect_language(text[:200_000])
    assert time.process_time() - start < 4


def test_without_the_package_the_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langdetect.detector_factory", None)
    languages.cache_clear()
    with pytest.raises(UsageError, match=r"needs the package langdetect: pip install 'olmo2\[eval\]'"):
        detect_language("text")
