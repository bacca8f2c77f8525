"""Another program that generates, for `bench/generate_cpu.py`: run by that program's own Python, without olmo2.

    /its/python bench/generate_peers.py NAME FOLDER WORK.json

Loads the model, answers all prompts of WORK.json for each line that it reads, greedily and to a given length, and
prints the seconds. Everything that the libraries print goes to standard error.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Prompts = list[list[int]]
PEERS: dict[str, Callable[..., Callable[[], Any]]] = {}


def peer(*names: str) -> Callable[..., Any]:
    """Note a function that takes (name, folder, prompts, lengths) and returns what answers the prompts."""

    def note(make: Callable[..., Callable[[], Any]]) -> Callable[..., Callable[[], Any]]:
        PEERS.update(dict.fromkeys(names, make))
        return make

    return note


def padded(prompts: Prompts) -> tuple[Any, Any]:
    """Return prompts and mask as tensors, padded on the left."""
    import torch

    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask


def generate(model: Any, prompts: Prompts, lengths: list[int]) -> Callable[[], Any]:
    """Return a call of transformers' generate."""
    import torch

    ids, mask = padded(prompts)
    most = max(lengths)
    settings = {"max_new_tokens": most, "min_new_tokens": most, "do_sample": False, "pad_token_id": 0}

    @torch.inference_mode()
    def run() -> None:
        assert model.generate(ids, attention_mask=mask, **settings).shape[1] == ids.shape[1] + most

    return run


@peer("transformers", "transformers-fp32")
def transformers_peer(name: str, folder: str, prompts: Prompts, lengths: list[int]) -> Callable[[], Any]:
    """transformers, in the dtype of the folder or in float32."""
    import transformers

    dtype = "float32" if name.endswith("fp32") else "auto"
    return generate(transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype), prompts, lengths)


@peer("openvino", "openvino-int8")
def openvino_peer(name: str, folder: str, prompts: Prompts, lengths: list[int]) -> Callable[[], Any]:
    """OpenVINO through optimum, exported now; with 8-bit weights by its own compression if asked for."""
    from optimum.intel import OVModelForCausalLM

    model = OVModelForCausalLM.from_pretrained(folder, export=True, load_in_8bit=name.endswith("int8"))
    return generate(model, prompts, lengths)


@peer("vllm", "vllm-fp32")
def vllm_peer(name: str, folder: str, prompts: Prompts, lengths: list[int]) -> Callable[[], Any]:
    """vLLM, in the dtype of the folder or in float32, nothing remembered between prompts."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{os.cpu_count() - 1}")  # type: ignore[operator]
    import vllm

    dtype = "float32" if name.endswith("fp32") else "auto"
    model = vllm.LLM(
        model=folder, dtype=dtype, skip_tokenizer_init=True, enable_prefix_caching=False, max_model_len=2048
    )
    settings = [
        vllm.SamplingParams(temperature=0, max_tokens=length, ignore_eos=True, detokenize=False) for length in lengths
    ]
    asked = [{"prompt_token_ids": prompt} for prompt in prompts]
    return lambda: model.generate(asked, settings, use_tqdm=False)


@peer("llama.cpp-f16", "llama.cpp-bf16", "llama.cpp-q8_0")
def llama_peer(name: str, folder: str, prompts: Prompts, lengths: list[int]) -> Callable[[], Any]:
    """llama.cpp on the GGUF file FOLDER/TYPE.gguf, all prompts in one batch."""
    import llama_cpp
    import numpy as np

    path = f"{folder}/{name.removeprefix('llama.cpp-')}.gguf"
    model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = sum(len(prompt) + length for prompt, length in zip(prompts, lengths, strict=True)) + 256
    settings.n_batch = settings.n_ctx
    settings.n_seq_max = len(prompts)
    settings.kv_unified = True
    settings.n_threads = settings.n_threads_batch = os.cpu_count()
    context = llama_cpp.llama_init_from_model(model, settings)
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    batch = llama_cpp.llama_batch_init(settings.n_ctx, 0, 1)

    def forward(tokens: list[tuple[int, int, int, bool]]) -> list[int]:
        """Read (token, place, sequence, is_last) and return the likeliest next token after each last one."""
        for row, (token, place, sequence, is_last) in enumerate(tokens):
            batch.token[row], batch.pos[row], batch.logits[row] = token, place, is_last
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, sequence
        batch.n_tokens = len(tokens)
        assert llama_cpp.llama_decode(context, batch) == 0
        rows = [row for row, token in enumerate(tokens) if token[3]]
        pointers = (llama_cpp.llama_get_logits_ith(context, row) for row in rows)
        return [int(np.argmax(np.ctypeslib.as_array(pointer, (vocabulary,)))) for pointer in pointers]

    def run() -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        newest = forward(
            [
                (token, place, sequence, place == len(prompt) - 1)
                for sequence, prompt in enumerate(prompts)
                for place, token in enumerate(prompt)
            ]
        )
        going = list(zip(range(len(prompts)), newest, strict=True))
        for step in range(1, max(lengths)):
            going = [(sequence, token) for sequence, token in going if lengths[sequence] > step]
            rows = [(token, len(prompts[sequence]) + step - 1, sequence, True) for sequence, token in going]
            going = list(zip((sequence for sequence, _ in going), forward(rows), strict=True))

    return run


def main() -> None:
    """Load, and answer for each line."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    name, folder, work = sys.argv[1:]
    with open(work, encoding="utf-8") as file:
        asked = json.load(file)
    run = PEERS[name](name, folder, asked["prompts"], asked["lengths"])
    for _ in sys.stdin:
        started = time.perf_counter()
        run()
        print(time.perf_counter() - started, file=answers)


if __name__ == "__main__":
    main()
