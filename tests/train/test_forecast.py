"""The printed tables: what a plan says of speed and disk, against arithmetic by hand."""

from dataclasses import replace

import pytest

from olmo2.base.config import make_recipe, read_yaml
from olmo2.data.step_plan import BatchChange
from olmo2.model.sizes import SIZES
from olmo2.parallel.hardware import GPUS
from olmo2.parallel.memory import Memory
from olmo2.train.assemble import TrainRecipe
from olmo2.train.forecast import disk_facts, speed_facts, verdict
from olmo2.train.plan import workload_of
from olmo2.train.pretrain import PretrainRecipe
from olmo2.train.remedies import changed

H100 = GPUS["h100"]


@pytest.fixture
def recipe() -> TrainRecipe:
    """A batch of 64 sequences of 4,096."""
    values = read_yaml("tiny/3-pretrain.yaml")
    values["run"] |= {"global_batch_tokens": 262_144, "total_tokens": 262_144_000, "micro_batch_sequences": 4}
    values["data"]["seq_len"] = 4096
    return make_recipe(PretrainRecipe, values, "recipe")


def disk(recipe: TrainRecipe) -> dict[str, str]:
    """What is said of the 1B's checkpoints."""
    return disk_facts(recipe, workload_of(recipe, SIZES["olmo2-1b"], 8, H100))


def test_a_checkpoint_is_twelve_bytes_a_parameter(recipe: TrainRecipe) -> None:
    facts = disk(recipe)
    assert facts["a checkpoint on disk"].startswith("17.8 GB")  # 12 x 1.4849e9
    assert facts["checkpoints"] == "1 kept and one that is replaced, 0.0178 TB"
    more = changed(
        recipe, {"keep.save_every_steps": 300, "keep.ephemeral_every_steps": None, "optim.state_dtype": "bf16"}
    )
    assert disk(more)["a checkpoint on disk"].startswith("11.9 GB")
    assert disk(more)["checkpoints"].startswith("4 kept, ")  # 300, 600, 900, 1000
    none = changed(recipe, {"keep.save_every_steps": None})
    assert disk(none)["checkpoints"].startswith("1 kept")


def test_days_follow_from_the_speed(recipe: TrainRecipe) -> None:
    config = SIZES["olmo2-1b"]
    facts = speed_facts(recipe, config, workload_of(recipe, config, 8, H100), H100)
    each, total = (int(part.split()[0].replace(",", "")) for part in facts["tokens/s"].split(" a device, "))
    assert total == pytest.approx(8 * each, abs=8)
    assert float(facts["days"].split()[0]) == pytest.approx(262_144_000 / total / 86_400, rel=0.01)
    assert facts["FLOPs of a token (6 a weight + attention)"] == "9.287e+09", "as published"
    share = float(facts["share of the bf16 peak"].rstrip("%")) / 100
    assert share == pytest.approx(each * 9.287e9 / 989.5e12, rel=0.01)


def test_the_speed_is_that_of_the_largest_batch_of_a_schedule(recipe: TrainRecipe) -> None:
    config, schedule = SIZES["olmo2-1b"], [BatchChange(from_tokens=0, global_batch_tokens=262_144)]
    growing = changed(recipe, {"run.global_batch_tokens": 65_536, "run.batch_schedule": schedule})
    plain, scheduled = (
        speed_facts(each, config, workload_of(each, config, 8, H100), H100)["tokens/s"] for each in (recipe, growing)
    )
    assert scheduled == plain


def test_a_length_that_only_the_data_tell(recipe: TrainRecipe) -> None:
    config, epochs = SIZES["olmo2-1b"], changed(recipe, {"run.total_tokens": None, "run.epochs": 2.0})
    facts = speed_facts(epochs, config, workload_of(epochs, config, 8, H100), H100)
    assert facts["days"] == "as long as the data are, 2 times"
    assert "checkpoints" not in disk(epochs)


def test_verdicts(recipe: TrainRecipe) -> None:
    def memory_of(other: TrainRecipe) -> Memory:
        size = 20e9 * other.run.micro_batch_sequences
        return Memory(moment="loss", parameters=1e9, optimizer=2e9, activations=size)

    assert verdict(recipe, 1, memory_of, replace(H100, memory_bytes=100e9)) == [
        "It fits, with 95% of the memory taken for usable."
    ]
    lines = verdict(recipe, 1, memory_of, H100)
    assert lines[0].startswith("It does not fit: 83.0 GB are needed and 76.0 GB usable (95%)")
    assert lines[0].endswith("the largest part is activations, 80.0 GB.")
    assert lines[2:] == ["  --run.micro_batch_sequences=2   (43.0 GB)"]
    assert verdict(recipe, 1, memory_of, replace(H100, memory_bytes=10e9))[-1].startswith("No setting makes it fit")
