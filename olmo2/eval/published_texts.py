"""Published texts around the benchmarks, where each of them is, and how the wanted part of a file is taken out of it.

None of them is part of this package: `fetch` gets them. A Python source is parsed and its literals are read; it never
runs.
"""

import ast
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from olmo2.eval.sources import EXAMPLES_FILE

DESCRIBED_TASK = "drop::olmes"


@dataclass(frozen=True)
class PublishedText:
    """A file of a public repository, or a part of it."""

    name: str
    """of our copy, relative to the folder of texts; the same as in a folder given with --data"""
    repository: str
    revision: str
    path: str
    sha256: str | None
    """of the whole file; None = it is not known, and `revision` may come to hold another file"""
    take: Callable[[str], str] | None = None
    """file -> the part that is wanted; None = all of it, byte for byte"""
    site: Literal["GitHub", "hub"] = "GitHub"

    def address(self, source: str) -> str:
        """Return where the file is; `source` is the address of GitHub's raw files, or of a mirror of them."""
        if self.site == "hub":
            return f"hf://datasets/{self.repository}@{self.revision}/{self.path}"
        return f"{source.rstrip('/')}/{self.repository}/{self.revision}/{self.path}"


def take_examples(code: str) -> str:
    """Return the lists that a Python source puts into FEWSHOT_SOURCES, as JSON by their names."""
    lists: dict[str, Any] = {}
    for statement in parsed(code).body:
        match statement:
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id="FEWSHOT_SOURCES"), slice=ast.Constant(value=str(name)))],
                value=examples,
            ):
                lists[name] = ast.literal_eval(examples)
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id="FEWSHOT_SOURCES"), attr="update"),
                    args=[ast.Dict() as several],
                )
            ):
                lists |= ast.literal_eval(several)
    assert lists, "the source has no list of examples"
    return as_json(lists)


def take_descriptions(code: str) -> str:
    """Return the description that a Python source gives DESCRIBED_TASK, as JSON by the task's name."""
    settings = [
        ast.literal_eval(value)
        for node in ast.walk(parsed(code))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == DESCRIBED_TASK
    ]
    assert len(settings) == 1, f"the source describes {DESCRIBED_TASK} {len(settings)} times"
    return as_json({DESCRIBED_TASK: settings[0]["context_kwargs"]["description"]})


def take_constant(name: str, code: str) -> str:
    """Return the text that a Python source assigns to a name."""
    for statement in parsed(code).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=assigned)], value=ast.Constant(value=str(text))) if assigned == name:
                return text
    raise AssertionError(f"the source assigns no text to {name}")


def parsed(code: str) -> ast.Module:
    """Parse a Python source without the warnings that Python has about its style."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def as_json(value: Mapping[str, Any]) -> str:
    """Return JSON in ASCII, in which the two escapes that a source writes for one character become that character."""
    return json.dumps(value, indent=1) + "\n"


OLMES = ("allenai/olmes", "5a51f502d463b8cdc4a2dcad7d7096c41ff1197e")
BIG_BENCH_HARD = ("suzgunmirac/BIG-Bench-Hard", "9ee07bd481feebf959a6b59d61ea57bdcf30964d")
WILDGUARD = ("allenai/wildguard", "495b9dc837be594c6c5665b0f7f56169baf0d5be")
ALPACA_EVAL = ("tatsu-lab/alpaca_eval", "cd543a149df89434d8a54582c0151c0b945c3d20")
ALPACA_EVAL_JUDGE = "src/alpaca_eval/evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"

COT_PROMPTS = {  # of BIG-Bench Hard
    "boolean_expressions": "685affba97425cdf3549d5d313ba876caed2fa7c8a4cf1ea7549faf22179609d",
    "causal_judgement": "14377e36cccb084b7d0fe73988d08696f7675d712b02d3ae1f5f7f12c77028ea",
    "date_understanding": "a0a13c392f689a1828f5f6ffb9dee3d44483794490da5d92f0e2a723787b1cfb",
    "disambiguation_qa": "794fd259297972a4c963a5d13a84dc221edde460de27fa5d8fd64299a2001597",
    "dyck_languages": "b0836603007ec659ed685458647fb6d7543543304e7aca909b995d0c3aff22b2",
    "formal_fallacies": "10c06cc362520e9b8dddfc4861e263ff668d228a52d958dcc69f09f1d224935a",
    "geometric_shapes": "f36d9893507eb518d84f388fb677dc0226c74a98873700de0b556548d65d3f76",
    "hyperbaton": "19898af91c35cb26bbdf5fdb6f6fb17e138677250332e2994005625ffb50b261",
    "logical_deduction_five_objects": "4ed65246c0c1c4b0b4053d784181892b842bce19cf4358c976f34b1a434ef034",
    "logical_deduction_seven_objects": "4ed65246c0c1c4b0b4053d784181892b842bce19cf4358c976f34b1a434ef034",
    "logical_deduction_three_objects": "4ed65246c0c1c4b0b4053d784181892b842bce19cf4358c976f34b1a434ef034",
    "movie_recommendation": "cdf765634713b057091d541b4773dd2c998f81447b0bd8564ae70be4cdf3f5d0",
    "multistep_arithmetic_two": "a546e0b7cde09037bc144ae5c32c9cf78dafdfac929ae76e2051b2dd8f3671ce",
    "navigate": "dc2fd733f1867b8c79685f15b83746064534a94bf73468341c2a9dd335be22fc",
    "object_counting": "e51ffc03fd713a13a379a6c938a523dfc1c2f384f2a8447bd7a12d4458f18833",
    "penguins_in_a_table": "33be137e76c2a6af0bbacd17a8e7a92801886c0202a45e35ea9c2a88c1f26d51",
    "reasoning_about_colored_objects": "e4ea02d05b13e8ed9ccc3b0d878bc4df4c5a6fb76c65d39d48d6244f7ff0b9d5",
    "ruin_names": "731446c6c66bb5258677af1417b599a6a5539be6d74a5afc02cf7a716444ea54",
    "salient_translation_error_detection": "2c8367f75092202cc507fdbfaaf037b1c1eed38e91289084439738367f0785f7",
    "snarks": "35084a2a0b86bc4008ab206b838c0b97dd425897dd72198137c3cefc499c0960",
    "sports_understanding": "2058a9bed717a6edb8ca2f815e88851436a4ee14c8b0d504ccf464865c6d0295",
    "temporal_sequences": "3e7ebf1e20abe3e219dc6514dcb7474d82db1b2c66acc733cd30af2e9e0b64b0",
    "tracking_shuffled_objects_five_objects": "2ef54cb2a72052adc3484a76209cb6a6535f194d677e79bcec2e2e71cf3768af",
    "tracking_shuffled_objects_seven_objects": "2ef54cb2a72052adc3484a76209cb6a6535f194d677e79bcec2e2e71cf3768af",
    "tracking_shuffled_objects_three_objects": "2ef54cb2a72052adc3484a76209cb6a6535f194d677e79bcec2e2e71cf3768af",
    "web_of_lies": "c8025ca65ab7f0897c243504c863bda043d04b6e873777536743e94023c929d0",
    "word_sorting": "a2cdbcfe23abaa97b9787f7c03dbf49b1cfd0ff9e63197b7884bb5cd5a096ca6",
}
AGIEVAL_SETS = {  # in English
    "aqua-rat": "de54f7f77ead25d18dcc3c9c47313c03df864e344df5a08724e8fe0a93742987",
    "gaokao-english": "080ee1e4fef18f822d117bc63923ed08eaa5a5522e1517f4c1a367360eaec076",
    "logiqa-en": "fca42dcc4834d3f166d1013c277950271d496b6a9e635844a4a90e44539d6eb2",
    "lsat-ar": "9fcc5bce2634e0aeb95525e9cb8ded4f3d0fc0746566cf8df8cda5a117654b2f",
    "lsat-lr": "6e0ca3c8952f1652aa89237cbeea27915f208444dbb8226334712c12ba62de78",
    "lsat-rc": "2616900081ff9a6d344f6ff0e52958fed45d09d12f26fc5f41c729a7fc45297f",
    "sat-en": "35791420ab06b0c446d34b3faccc8f0f24d98bfc11d9bf666a2e862a0b0b04c3",
    "sat-math": "9cde4c0522b6196852a5562db6e72bf8817b4802822db0fc10013d1becdab3c3",
}

EXAMPLES = PublishedText(
    EXAMPLES_FILE,
    *OLMES,
    "oe_eval/tasks/fewshot_sources.py",
    "7902a190171d9a5c16cd5958be605f10133a426634c951a6882cb06714019441",
    take_examples,
)
DESCRIPTIONS = PublishedText(
    "fewshot/olmes_descriptions.json",
    *OLMES,
    "oe_eval/configs/tasks.py",
    "a2e63e044af9b9fc47949647839852aeb435292319d6e0ebb14dddaf21edcfe7",
    take_descriptions,
)
WILDGUARD_PROMPT = PublishedText(
    "judges/wildguard.txt",
    *WILDGUARD,
    "wildguard/utils.py",
    "7b7d42eb60d68608a3b8ce1ba4468dcbb94938b812e365947a1f0a0b1252a3e0",
    partial(take_constant, "WILDGUARD_INPUT_FORMAT"),
)
ALPACA_EVAL_PROMPT = PublishedText(
    "judges/alpaca_eval.txt",
    *ALPACA_EVAL,
    ALPACA_EVAL_JUDGE,
    "784227e6dc2832fc08c43d2c8ea3a308e7523780187a1aaad2f85e30bac85f62",
)
BBH_PROMPTS = [
    PublishedText(f"bbh/cot-prompts/{subtask}.txt", *BIG_BENCH_HARD, f"cot-prompts/{subtask}.txt", sha256)
    for subtask, sha256 in COT_PROMPTS.items()
]
AGIEVAL_ROWS = [
    PublishedText(
        f"agieval/olmes_v1/{name}.jsonl", *OLMES, f"oe_eval/dependencies/AGIEval/data/v1/{name}.jsonl", sha256
    )
    for name, sha256 in AGIEVAL_SETS.items()
]
XSTEST_ROWS = PublishedText(
    "xstest/xstest_prompts.csv",
    "paul-rottger/exaggerated-safety",
    "d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d",
    "xstest_prompts.csv",
    "11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a",
)
LENGTH_CONTROL = [
    PublishedText(f"alpaca_eval/{name}", "tatsu-lab/alpaca_eval", "main", name, sha256=None, site="hub")
    for name in ("instruction_difficulty.csv", "df_gamed.csv")
]

WITH_EXAMPLES_ALONE = (
    *("gsm8k", "gsm8k:base", "math", "popqa", "truthfulqa", "drop", "naturalqs", "triviaqa"),
    *("arc_challenge:rc", "arc_challenge:mc", "hellaswag:rc", "hellaswag:mc", "winogrande:rc", "winogrande:mc"),
)
JUDGED_BY_WILDGUARD = (
    "harmbench",
    "wildguardtest",
    "wildjailbreak",
    "trustllm_jailbreaktrigger",
    "do_anything_now",
)
TEXTS_OF_TASKS: Mapping[str, tuple[PublishedText, ...]] = {
    **dict.fromkeys(WITH_EXAMPLES_ALONE, (EXAMPLES,)),
    "drop:base": (EXAMPLES, DESCRIPTIONS),
    "bbh": (EXAMPLES, *BBH_PROMPTS),
    "agi_eval": (EXAMPLES, *AGIEVAL_ROWS),
    **dict.fromkeys(JUDGED_BY_WILDGUARD, (WILDGUARD_PROMPT,)),
    "xstest": (WILDGUARD_PROMPT, XSTEST_ROWS),
    "alpaca_eval": (ALPACA_EVAL_PROMPT, *LENGTH_CONTROL),
}
"""what each task is better with; a text stands under every task that reads it"""
