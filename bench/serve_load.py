"""Many clients that stream from `olmo2 serve` at a time, beside the engine alone with as many requests.

    python bench/serve_load.py [--clients 500] [--seconds 120]

A 34M model of random weights; every client asks, reads its stream to the end and asks again. The tokens a second are
counted by the server (/metrics) and, for the engine alone, by its updates, after a time to warm up; the engine is
measured before and after the server. Clients, server and engine share the machine's processors.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from generate_cpu import CASES, write_folder

from olmo2.checkpoint.folder import load_model
from olmo2.inference.engine import Engine
from olmo2.inference.request import Request
from olmo2.inference.sampling import SamplingSettings
from olmo2.parallel.allocator import tune_allocator

PROMPT_TOKENS = 32
NEW_TOKENS = (32, 96)  # at least, at most: so that answers do not end together
WARM_UP = 20  # seconds
CACHE_TOKENS = 2**15  # several times what is under way; the cache takes memory as it is used, all of this in a minute
TOKENS = r'olmo2_tokens_total\{kind="written"\}'


def some_prompt(numbers: random.Random) -> list[int]:
    """Return a prompt that no other begins like."""
    return [numbers.randrange(300, 8000) for _ in range(PROMPT_TOKENS)]


def engine_alone(folder: Path, clients: int, seconds: float) -> float:
    """Return the tokens a second of the engine when as many requests are always under way."""
    model, tokenizer = load_model(folder)
    engine, numbers = Engine(model, tokenizer), random.Random(0)

    def ask() -> None:
        engine.submit(Request(some_prompt(numbers), SamplingSettings(max_new_tokens=numbers.randint(*NEW_TOKENS))))

    def tokens_within(limit: float) -> float:
        written, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < limit:
            for update in engine.step():
                written += len(update.token_ids)
                if update.completion is not None:
                    ask()
        return written / (time.perf_counter() - begun)

    for _ in range(clients):
        ask()
    tokens_within(WARM_UP / 2)
    return tokens_within(seconds)


async def client(port: int, number: int, until: float, seen: Counter[str]) -> None:
    """Ask again and again; note how each stream ended."""
    numbers = random.Random(number)
    while time.monotonic() < until:
        length = numbers.randint(*NEW_TOKENS)
        body = {
            "model": "model",
            "prompt": some_prompt(numbers),
            "max_tokens": length,
            "stream": True,
            "temperature": 0,
        }
        content = json.dumps(body).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{head}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode() + content)
            status = (await reader.readline()).split()[1].decode()
            answer = await reader.read()
            writer.close()
        except (OSError, IndexError) as error:
            seen[type(error).__name__] += 1
            continue
        is_whole = b"data: [DONE]" in answer and b'"finish_reason":"' in answer.replace(b": ", b":")
        seen[status if status != "200" or is_whole else "cut short"] += 1
        if status == "429":
            await asyncio.sleep(1)


def counted(port: int) -> float:
    """Return the tokens that the server has written so far."""
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        found = re.search(rf"^{TOKENS} (\S+)", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def resident(process: int) -> float:
    """Return the memory of a process in megabytes."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1000


async def load(port: int, process: int, clients: int, seconds: float) -> tuple[float, list[float], Counter[str]]:
    """Let the clients ask; return tokens a second, the server's memory second by second, and how streams ended."""
    seen: Counter[str] = Counter()
    until = time.monotonic() + WARM_UP + seconds
    tasks = [asyncio.create_task(client(port, number, until, seen)) for number in range(clients)]
    await asyncio.sleep(WARM_UP)
    before, begun = await asyncio.to_thread(counted, port), time.perf_counter()
    memory, used = [], time.process_time()
    while time.monotonic() < until:
        await asyncio.sleep(1)
        memory.append(resident(process))
    speed = (await asyncio.to_thread(counted, port) - before) / (time.perf_counter() - begun)
    used = time.process_time() - used
    print(f"the clients took {100 * used / seconds / (os.cpu_count() or 1):.0f}% of the processors", flush=True)
    await asyncio.gather(*tasks)
    return speed, memory, seen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    tune_allocator()
    with tempfile.TemporaryDirectory(prefix="serve-load-") as scratch:
        folder = Path(scratch) / "model"
        write_folder(CASES["many40m"], folder, torch.bfloat16)
        alone = [engine_alone(folder, options.clients, options.seconds / 4)]
        print(f"the engine alone, before: {alone[0]:.0f} tokens/s", flush=True)
        command = [
            sys.executable,
            "-m",
            "olmo2",
            "serve",
            str(folder),
            "--port=0",
            f"--engine.cache_tokens={CACHE_TOKENS}",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                found = re.search(r":(\d+)/v1", server.stdout.readline())
                assert found is not None, "the server did not start"
                port = int(found[1])
                speed, memory, seen = asyncio.run(load(port, server.pid, options.clients, options.seconds))
            finally:
                server.terminate()
        alone.append(engine_alone(folder, options.clients, options.seconds / 4))
        print(f"the engine alone, after: {alone[1]:.0f} tokens/s", flush=True)
    print(
        f"{options.clients} clients for {options.seconds:.0f} s on {os.cpu_count()} cores: {speed:.0f} tokens/s, ",
        end="",
    )
    print(f"{100 * speed / (sum(alone) / 2):.0f}% of the engine alone")
    print("streams: " + ", ".join(f"{number} {how}" for how, number in seen.most_common()))
    late = memory[len(memory) // 2 :]
    print(f"memory: {memory[0]:.0f} MB at first, {min(late):.0f} to {max(late):.0f} MB in the second half")


if __name__ == "__main__":
    main()
