"""What TRL's DPOTrainer makes of a small model and four pairs: the numbers of trl_dpo.json are printed by

    python -m tests.train.trl_dpo

in an environment with trl 1.16.0.
"""

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import torch

from olmo2.checkpoint.folder import write_model_folder
from olmo2.model.transformer import Transformer
from olmo2.tokenizer.byte_pair import train_byte_pair
from olmo2.tokenizer.tokenizer import Tokenizer
from tests.conftest import SAMPLE_TEXT, TINY

LONG = "As the next one is."
PAIRS = [("What is 12 + 30?", "42", "It is 43, I think."), ("2 + 2?", "The answer is 4.", "5"), ("Why?", LONG, "So.")]
PAIRS.append(("What is 3 apples and 4 more?", "7 apples.", LONG))
CASES: dict[str, dict[str, Any]] = {
    "sigmoid_norm": {"loss_type": "sigmoid_norm", "beta": 5.0},
    "sigmoid": {"loss_type": "sigmoid", "beta": 0.1},
    "ipo": {"loss_type": "ipo", "beta": 0.1},
    "hinge": {"loss_type": "hinge", "beta": 0.1},
    "robust": {"loss_type": "robust", "beta": 0.1, "label_smoothing": 0.2},
    "sigmoid_norm, weighted": {"loss_type": "sigmoid_norm", "beta": 5.0, "use_weighting": True},
}


def small_model(change: float) -> Transformer:
    """A model whose weights are scattered by sines: the same numbers with every version of every library."""
    model = Transformer(TINY)
    with torch.no_grad():
        for number, (name, parameter) in enumerate(model.named_parameters()):
            places = range(parameter.numel())
            scattered = [math.sin(12.9898 * place + 78.233 * number + 1) * 43758.5453 % 1 - 0.5 for place in places]
            values = [value + change * math.sin(0.7 * place) for place, value in enumerate(scattered)]
            weights = torch.tensor(values, dtype=torch.float64).view(parameter.shape)
            parameter.copy_(1 + 0.1 * weights if "norm" in name else 0.2 * weights)
    return model


def write_models(folder: Path, tokenizer: Tokenizer) -> tuple[str, str]:
    """Write the policy and the reference as folders."""
    for name, change in (("policy", 0.0), ("reference", 0.1)):
        (folder / name).mkdir()
        weights = small_model(change).state_dict()
        write_model_folder(folder / name, weights, TINY, tokenizer, dtype=torch.float32)
    return str(folder / "policy"), str(folder / "reference")


def rows() -> list[dict[str, Any]]:
    """The pairs as prompt, chosen and rejected messages, in which TRL learns from the answers alone."""
    return [
        {
            "prompt": [{"role": "user", "content": prompt}],
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
        for prompt, chosen, rejected in PAIRS
    ]


def trl_numbers(folder: Path, tokenizer: Tokenizer, case: str) -> dict[str, Any]:
    """Return loss and gradient norm of one batch with all pairs, and the metrics that TRL logs of it."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    policy, reference = write_models(folder, tokenizer)
    settings = DPOConfig(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=len(PAIRS),
        use_cpu=True,
        bf16=False,
        report_to=[],
        max_length=None,
        gradient_checkpointing=False,
        disable_tqdm=True,
        **CASES[case],
    )
    load = AutoModelForCausalLM.from_pretrained
    trainer = DPOTrainer(
        model=load(policy, dtype=torch.float32),
        ref_model=load(reference, dtype=torch.float32),
        args=settings,
        train_dataset=Dataset.from_list(rows()),
        processing_class=AutoTokenizer.from_pretrained(policy),
    )
    trainer.model.train()
    batch = trainer.data_collator([trainer.train_dataset[number] for number in range(len(PAIRS))])
    loss = trainer._compute_loss(trainer.model, batch, False)
    loss.backward()
    squares = sum(p.grad.double().square().sum() for p in trainer.model.parameters() if p.grad is not None)
    metrics = {name: values[0] for name, values in trainer._metrics["train"].items()}
    names = ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen")
    return {"loss": loss.item(), "grad_norm": math.sqrt(squares)} | {name: metrics[name] for name in names}


def main() -> None:
    tokenizer = train_byte_pair(SAMPLE_TEXT, vocab_size=380)
    found = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            found[case] = trl_numbers(Path(folder), tokenizer, case)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
