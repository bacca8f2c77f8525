"""What config.json says of quantized weights: compressed-tensors' `quantization_config`, written and read.

The names are those of compressed-tensors, which transformers and vLLM load through it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from olmo2.base.errors import UsageError
from olmo2.model.quantized import Scheme

KEY = "quantization_config"
METHOD, FORMAT = "compressed-tensors", "pack-quantized"
BLOCKS_PATTERN = r"re:.*(q|k|v|o|gate|up|down)_proj$"
HEAD = "lm_head"


def quantization_config(blocks: Scheme, head: Scheme | None) -> dict[str, Any]:
    """Return what config.json says of a model whose blocks, and perhaps output matrix, are quantized."""
    groups = {"group_0": group([BLOCKS_PATTERN], blocks)}
    if head is not None:
        groups["group_1"] = group([f"re:.*{HEAD}$"], head)
    return {
        "quant_method": METHOD,
        "format": FORMAT,
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": [] if head is not None else [HEAD],
    }


def group(targets: list[str], scheme: Scheme) -> dict[str, Any]:
    """Return the description of layers that are quantized alike."""
    weights = {
        "num_bits": scheme.bits,
        "type": "int",
        "symmetric": True,
        "strategy": "channel" if scheme.group_size is None else "group",
        "group_size": scheme.group_size,
        "dynamic": False,
    }
    return {"targets": targets, "weights": weights, "input_activations": None, "output_activations": None}


def schemes_of(config: Any, names: Iterable[str], source: str) -> dict[str, Scheme]:
    """Return how each of the linear layers `names` is quantized, according to a config.json; those that are not miss.

    Raises UsageError, naming `source`, for ways of quantization that cannot be read.
    """
    described = config.get(KEY) if isinstance(config, Mapping) else None
    if described is None:
        return {}
    try:
        if described["quant_method"] != METHOD or described["format"] != FORMAT:
            raise ValueError(f"{described['quant_method']} {described.get('format', '')}".strip())
        groups = [(each["targets"], scheme_of(each)) for each in described["config_groups"].values()]
        ignored = described.get("ignore") or []
        return {
            name: scheme
            for name in names
            if not any(matches(target, name) for target in ignored)
            for targets, scheme in groups[::-1]
            if any(matches(target, name) or target == "Linear" for target in targets)
        }
    except (KeyError, TypeError, AttributeError, ValueError, re.error) as error:
        raise UsageError(
            f"{source}: its weights are quantized in a way that cannot be read ({error}); only {METHOD}'s {FORMAT} "
            "integers of 8 or 4 bits can, which olmo2 quantize writes"
        ) from None


def scheme_of(described: Mapping[str, Any]) -> Scheme:
    """Read the description of layers that are quantized alike. Raises ValueError for what is not of our kind."""
    weights = described["weights"]
    bits, strategy, size = weights["num_bits"], weights["strategy"], weights.get("group_size")
    is_known = (
        bits in (4, 8) and weights["type"] == "int" and weights.get("symmetric", True) and not weights.get("actorder")
    )
    if not is_known or strategy not in ("channel", "group") or described.get("input_activations"):
        raise ValueError(f"{bits} bits, {strategy}")
    if strategy == "group" and not (isinstance(size, int) and size > 0):
        raise ValueError(f"groups of {size}")
    return Scheme(bits, size if strategy == "group" else None)


def matches(target: str, name: str) -> bool:
    """Tell whether a target, a name or a pattern behind ``re:``, means a layer."""
    if target.startswith("re:"):
        return re.match(target.removeprefix("re:"), name) is not None
    return target == name
