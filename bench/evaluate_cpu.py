"""GSM8K, IFEval and MMLU: `olmo2 evaluate` beside lm-evaluation-harness with its Hugging Face back end, same run.

    python bench/evaluate_cpu.py --data=DIR [--model=FOLDER] [--items 500] [--rounds 1] [--batch_sizes 4 8 16]

Both sides get the same prompts, limits and stops, and the same graders count the same metrics; each is a whole command
of its own, from the start of Python to the scores, in float32. The harness's batch size is tuned first, on a tenth of
the items. Without --model a 34M model is tuned on GSM8K's training problems, eight in a conversation as they are asked,
so that its answers are as long as real ones and end; mean lengths are printed. DIR has gsm8k/{train,test}.jsonl,
ifeval/input_data.jsonl, mmlu/{dev,test}.jsonl(.gz) and fewshot/olmes_fewshot_sources.json.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

TASKS = ("gsm8k", "ifeval", "mmlu:base")
CONTEXT = 4096
TURNS = 8  # problems of a conversation


def main() -> None:
    """Make the model, run both sides in turn, and print both times and scores."""
    arguments = parsed()
    if arguments.side:
        print(json.dumps(SIDES[arguments.side](arguments)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.model or make_model(arguments, Path(temporary)))
        tuned = {
            size: run_side("harness", folder, arguments, size, arguments.items // 10) for size in arguments.batch_sizes
        }
        best = min(tuned, key=lambda size: tuned[size]["seconds"])
        print(f"batch sizes of the harness, {arguments.items // 10} items a task: ", end="")
        print(", ".join(f"{size}: {found['seconds']:.0f} s" for size, found in tuned.items()))
        rounds: dict[str, list[dict[str, Any]]] = {"olmo2": [], "harness": []}
        for number in range(arguments.rounds):
            for side in list(rounds)[:: 1 if number % 2 else -1]:
                found = run_side(side, folder, arguments, best, arguments.items)
                rounds[side].append(found)
                print(f"{side}: {found['seconds']:.0f} s  {found['scores']}", flush=True)
    ratios = [theirs["seconds"] / ours["seconds"] for ours, theirs in zip(*rounds.values(), strict=True)]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"olmo2 is {statistics.median(ratios):.2f} times as fast (median of {len(ratios)})")
    compare_answers(rounds["olmo2"][0]["answers"], rounds["harness"][0]["answers"])
    if rounds["olmo2"][0]["scores"] != rounds["harness"][0]["scores"]:
        raise SystemExit("the scores differ")


def parsed() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model")
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--conversations", type=int, default=250)
    parser.add_argument("--keep", help="folder to put the model into, for another call's --model")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--batch_size", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def run_side(side: str, folder: Path, arguments: argparse.Namespace, batch_size: int, items: int) -> dict[str, Any]:
    """Run one side as a command of its own and return what it found, with its seconds."""
    command = [sys.executable, __file__, f"--side={side}", f"--model={folder}", f"--data={arguments.data}"]
    command += [f"--items={items}", f"--batch_size={batch_size}"]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": time.perf_counter() - started}


def with_olmo2(arguments: argparse.Namespace) -> dict[str, Any]:
    """Evaluate with this package."""
    from olmo2.eval.evaluate import EvaluateRecipe, evaluate

    with tempfile.TemporaryDirectory() as output:
        recipe = EvaluateRecipe(
            model=arguments.model,
            dtype="fp32",
            tasks=list(TASKS),
            data=arguments.data,
            limit=arguments.items,
            output=output,
        )
        results = evaluate(recipe)
        answers, scores = {}, {}
        for name in TASKS:
            rows = read_lines(Path(output) / f"{name.replace(':', '-')}.jsonl")
            answers[name] = {row["doc_id"]: row.get("response", row.get("logprobs")) for row in rows}
            # Over items, as the harness averages: MMLU's published number is a mean of subjects.
            scores[name] = statistics.fmean(row["scores"][results.tasks[name].metric] for row in rows)
    return {"scores": scores, "answers": answers}


def with_harness(arguments: argparse.Namespace) -> dict[str, Any]:
    """Evaluate with lm-evaluation-harness and its Hugging Face back end, on the same items."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    model = HFLM(
        pretrained=arguments.model,
        device="cpu",
        dtype="float32",
        batch_size=arguments.batch_size,
        max_length=CONTEXT - 1,
    )
    tasks = [harness_task(name, model.tokenizer, arguments) for name in TASKS]
    results = lm_eval.simple_evaluate(model, tasks=tasks, log_samples=True, bootstrap_iters=0, verbosity="ERROR")
    answers, scores = {}, {}
    for name in TASKS:
        key = name.replace(":", "-")
        samples = results["samples"][key]
        answers[name] = {row["doc"]["doc_id"]: answer_of(row["resps"]) for row in samples}
        scores[name] = next(value for metric, value in results["results"][key].items() if metric.startswith("score,"))
    return {"scores": scores, "answers": answers}


def answer_of(responses: list[Any]) -> Any:
    """Return a text, or the log-probabilities of all options."""
    first = responses[0][0]
    return first if isinstance(first, str) else [float(each[0][0]) for each in responses]


def harness_task(name: str, tokenizer: Any, arguments: argparse.Namespace) -> Any:
    """Return one of our tasks as the harness's: prompts laid out already, our graders, its averages."""
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    from olmo2.eval.loading import drawn, load_task
    from olmo2.eval.ranked import score_choices
    from olmo2.eval.task import Likelihood, Ranked
    from olmo2.eval.task_list import find_task

    loaded = load_task(find_task(name), Path(arguments.data))
    task, items = loaded.task, {item.doc_id: item for item in drawn(loaded.items, arguments.items)}

    def text_of(prompt: Any) -> str:
        if not prompt.turns:
            return prompt.text
        return tokenizer.apply_chat_template(prompt.messages, tokenize=False, add_generation_prompt=True) + prompt.text

    def score_text(doc: dict[str, Any], responses: list[str]) -> dict[str, float]:
        return {"score": items[doc["doc_id"]].grade(responses[0])[task.metric]}

    def score_options(doc: dict[str, Any], responses: list[tuple[float, bool]]) -> dict[str, float]:
        found = [Likelihood(logprob, 1, 1, 1) for logprob, _ in responses]
        return {"score": score_choices(found, answer=doc["answer"])[task.metric]}

    rows = []
    for item in items.values():
        if isinstance(item, Ranked):
            letters = [option.continuation.strip() for option in item.options]
            rows.append(
                {
                    "doc_id": item.doc_id,
                    "prompt": text_of(item.options[0].prompt),
                    "letters": letters,
                    "answer": letters.index(item.answer),
                }
            )
        else:
            rows.append({"doc_id": item.doc_id, "prompt": text_of(item.prompt)})
    common = {
        "task": name.replace(":", "-"),
        "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)},
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        "metric_list": [{"metric": "score", "aggregation": "mean", "higher_is_better": True}],
    }
    if "letters" in rows[0]:
        return ConfigurableTask(
            config={
                **common,
                "output_type": "multiple_choice",
                "doc_to_choice": "letters",
                "doc_to_target": "answer",
                "process_results": score_options,
            }
        )
    settings = {"until": list(task.stop), "max_gen_toks": task.max_new_tokens, "do_sample": False}
    return ConfigurableTask(
        config={
            **common,
            "output_type": "generate_until",
            "doc_to_target": "",
            "generation_kwargs": settings,
            "process_results": score_text,
        }
    )


SIDES = {"olmo2": with_olmo2, "harness": with_harness}


def compare_answers(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Print how many answers are equal."""
    for name in TASKS:
        pairs = [(ours[name][doc_id], answer) for doc_id, answer in theirs[name].items()]
        if isinstance(pairs[0][0], str):
            equal = sum(our.strip() == their.strip() for our, their in pairs)
            length = statistics.mean(len(our) for our, _ in pairs)
            print(f"{name}: {equal} of {len(pairs)} texts are equal, {length:.0f} characters long on average")
        else:
            largest = max(abs(a - b) for our, their in pairs for a, b in zip(our, their, strict=True))
            print(f"{name}: log-probabilities differ by {largest:.1e} at most")


def make_model(arguments: argparse.Namespace, folder: Path) -> Path:
    """Tune a 34M model of random weights on real answers, for as long as it takes to learn their length."""
    from olmo2.base.files import atomic_folder
    from olmo2.checkpoint.folder import write_model_folder
    from olmo2.model.init import initialise
    from olmo2.model.sizes import model_config
    from olmo2.model.transformer import Transformer
    from olmo2.release.export import ExportRecipe, export
    from olmo2.tokenizer.byte_pair import train_byte_pair

    rows = read_lines(Path(arguments.data) / "gsm8k/train.jsonl")
    tokenizer = train_byte_pair([row["question"] + row["answer"] for row in rows], 8192)
    model = Transformer(model_config("olmo2-34m", vocab_size=tokenizer.vocab_size))
    initialise(model, 0)
    with atomic_folder(folder / "random") as unfinished:
        write_model_folder(unfinished, model.state_dict(), model.config, tokenizer, dtype=torch.float32)
    with open(folder / "chats.jsonl", "w") as file:
        for number in range(arguments.conversations):
            some = rows[TURNS * number : TURNS * (number + 1)]
            file.write(json.dumps({"messages": [turn for row in some for turn in turns(row, row is some[-1])]}) + "\n")
    settings = [f"--load_path={folder / 'random'}", f"--data.paths={folder / 'chats.jsonl'}", "--data.seq_len=2048"]
    settings += ["--optim.peak_lr=1e-3", "--schedule.warmup_ratio=0.1", f"--run.folder={folder / 'run'}"]
    settings += ["--run.stage=sft", "--run.epochs=1", "--run.global_batch_tokens=4096", "--run.compile=false"]
    olmo2("sft", *settings, "--run.micro_batch_sequences=1")
    made = Path(arguments.keep or folder / "model")
    export(ExportRecipe(checkpoint=str(folder / "run"), output=str(made)))
    return made


def turns(row: dict[str, str], is_last: bool) -> list[dict[str, str]]:
    """Return a problem and its answer, which of the last one begins as the model is made to begin."""
    answer = f"Answer: {row['answer']}" if is_last else row["answer"]
    question = f"Question: {row['question']}\nAnswer:"
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def read_lines(file: Path) -> list[Any]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def olmo2(*arguments: str) -> None:
    """Run a verb."""
    subprocess.run([sys.executable, "-m", "olmo2", *arguments], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
