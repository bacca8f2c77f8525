"""Whether a response follows instructions that a program can check: the 25 kinds of IFEval, strict and loose.

Source   IFEval (arXiv 2311.07911). Unlike the published checkers, nothing that a row lacks is drawn at random.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from olmo2.base.errors import UsageError
from olmo2.grading import (
    instruction_capitals,
    instruction_format,
    instruction_keywords,
    instruction_language,
    instruction_length,
)
from olmo2.grading.instruction_arguments import read_arguments

# A checker takes the response and, by name, the arguments that rows of the benchmark give for its instruction.
CHECKERS: Mapping[str, Callable[..., bool]] = {
    "change_case:capital_word_frequency": instruction_capitals.capital_word_frequency,
    "change_case:english_capital": instruction_language.english_capital,
    "change_case:english_lowercase": instruction_language.english_lowercase,
    "combination:repeat_prompt": instruction_format.repeat_prompt,
    "combination:two_responses": instruction_format.two_responses,
    "detectable_content:number_placeholders": instruction_format.number_placeholders,
    "detectable_content:postscript": instruction_format.postscript,
    "detectable_format:constrained_response": instruction_format.constrained_response,
    "detectable_format:json_format": instruction_format.json_format,
    "detectable_format:multiple_sections": instruction_format.multiple_sections,
    "detectable_format:number_bullet_lists": instruction_format.number_bullet_lists,
    "detectable_format:number_highlighted_sections": instruction_format.number_highlighted_sections,
    "detectable_format:title": instruction_format.title,
    "keywords:existence": instruction_keywords.existence,
    "keywords:forbidden_words": instruction_keywords.forbidden_words,
    "keywords:frequency": instruction_keywords.frequency,
    "keywords:letter_frequency": instruction_keywords.letter_frequency,
    "language:response_language": instruction_language.response_language,
    "length_constraints:nth_paragraph_first_word": instruction_length.nth_paragraph_first_word,
    "length_constraints:number_paragraphs": instruction_length.number_paragraphs,
    "length_constraints:number_sentences": instruction_length.number_sentences,
    "length_constraints:number_words": instruction_length.number_words,
    "punctuation:no_comma": instruction_keywords.no_comma,
    "startend:end_checker": instruction_format.end_checker,
    "startend:quotation": instruction_format.quotation,
}


@dataclass(frozen=True)
class InstructionResult:
    """Which instructions a response follows, in their order: as it is, and in any of its loose variants."""

    strict: tuple[bool, ...]
    loose: tuple[bool, ...]

    @property
    def all_strict(self) -> bool:
        """Whether every instruction is followed by the response as it is."""
        return all(self.strict)

    @property
    def all_loose(self) -> bool:
        """Whether every instruction is followed by some variant of the response."""
        return all(self.loose)


def check_instructions(
    response: str, instruction_ids: Sequence[str], arguments: Sequence[Mapping[str, object]], prompt: str
) -> InstructionResult:
    """Return which of the instructions in `prompt` a response follows.

    `arguments` holds those of each instruction, where what is empty, zero or None counts as not given. An empty
    response follows nothing. Raises ValueError, naming the instruction and the prompt, if an instruction is unknown or
    an argument is missing, unknown or of the wrong type; UsageError if languages are asked for without langdetect.
    """
    if len(instruction_ids) != len(arguments):
        raise ValueError(f"{len(instruction_ids)} instructions, but arguments of {len(arguments)}: {prompt[:80]!r}")
    strict, loose = [], []
    variants = [variant for variant in loose_variants(response) if variant.strip()]
    for instruction, given in zip(instruction_ids, arguments, strict=True):
        if instruction not in CHECKERS:
            raise ValueError(f"there is no instruction {instruction!r} (prompt {prompt[:80]!r})")
        checker = CHECKERS[instruction]
        try:
            wanted = read_arguments(checker, given)
            strict.append(bool(response.strip()) and checker(response, **wanted))
            loose.append(strict[-1] or any(checker(variant, **wanted) for variant in variants))
        except UsageError:
            raise  # a package is missing, which is no fault of the instruction
        except ValueError as error:
            raise ValueError(f"{instruction}: {error} (prompt {prompt[:80]!r})") from error
    return InstructionResult(tuple(strict), tuple(loose))


def loose_variants(response: str) -> list[str]:
    """Return the response without asterisks, and without its first line, its last or both, with and without them."""
    lines = response.split("\n")
    parts = ["\n".join(kept).strip() for kept in (lines[1:], lines[:-1], lines[1:-1])]
    variants = [variant for part in (response, *parts) for variant in (part, part.replace("*", ""))]
    return [variant for variant in dict.fromkeys(variants) if variant != response]
