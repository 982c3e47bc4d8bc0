"""The process in which vLLM runs, so that its threads, its memory and its death are its own.

JSON lines on standard input and output. The first line in holds the settings (VllmEngine). Each
later one is answered:
    {"load": folder}: put these weights in place of the loaded ones
        → {"loaded": true}
    {"texts": [[step, ids, places], …]}
        → {"logprobs": [[one for each place], …]}
    {"requests": [[number, step, prompt, seed], …]}
        → {"answers": [[number, tokens, seconds, error, looped], …]} …, {"done": true}
While answers are made, {"alive": true} now and then. Where the engine fails, {"failed": why}, and
the process ends."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from distill_nb.grading.sandbox.confine import die_with_parent
from distill_nb.runtime import gpus, imports

if TYPE_CHECKING:
    from vllm import LLM
    from vllm.lora.request import LoRARequest

EVERY = 0.5  # seconds between lines of answers, at least
ALIVE = 10.0  # seconds between signs of life where there are no answers


def start(settings: dict) -> LLM:
    """vLLM's engine, token ids only."""
    with imports.uncollected():
        from vllm import LLM

        gc.freeze()  # it collects some times at its start, and imports more
        return LLM(skip_tokenizer_init=True, disable_log_stats=True, **settings["engine"])


def lora(settings: dict, step: int) -> LoRARequest | None:
    """The LoRA request of a step; None for the base and where adapters are merged."""
    from vllm.lora.request import LoRARequest

    adapters = settings["adapters"]  # step, as text → folder
    if str(step) not in adapters:
        return None
    number = list(adapters).index(str(step)) + 1  # must not be 0
    return LoRARequest(f"step_{step}", number, adapters[str(step)])


def logprobs(llm: LLM, settings: dict, texts: list) -> list[list[float]]:
    """Log-probability of ids[place] after ids[:place], for every place of every (step, ids,
    places).

    Each is a request that may only sample this token, all in flight together, as when answers are
    made and rows of several adapters meet. (vLLM gives log-probabilities before that restriction.
    Its prompt_logprobs fail on the CPU where several requests have adapters.)"""
    from vllm import SamplingParams, TokensPrompt

    asked = [(step, ids[:place], ids[place]) for step, ids, places in texts for place in places]
    one = {"max_tokens": 1, "temperature": 0, "logprobs": 0, "detokenize": False}
    made = llm.generate(
        [TokensPrompt(prompt_token_ids=prompt) for _, prompt, _ in asked],
        [SamplingParams(allowed_token_ids=[token], **one) for *_, token in asked],
        lora_request=[lora(settings, step) for step, *_ in asked],
        use_tqdm=False,
    )
    found = iter(
        out.outputs[0].logprobs[0][token].logprob
        for out, (*_, token) in zip(made, asked, strict=True)
    )
    return [[next(found) for _ in places] for *_, places in texts]


def answer(llm: LLM, settings: dict, requests: list, send: Callable[[dict], None]) -> None:
    """Put all requests in flight and send the answers as they finish."""
    from vllm import SamplingParams, TokensPrompt
    from vllm.sampling_params import RepetitionDetectionParams

    engine, asked = llm.llm_engine, time.perf_counter()
    how = {"detokenize": False, "ignore_eos": True} | settings["sampling"]
    if "repetition_detection" in how:
        how["repetition_detection"] = RepetitionDetectionParams(**how["repetition_detection"])
    finished: list[list] = []
    for number, step, prompt, seed in requests:
        sampling = SamplingParams(seed=seed, **how)
        tokens, adapter = TokensPrompt(prompt_token_ids=prompt), lora(settings, step)
        try:
            engine.add_request(str(number), tokens, sampling, lora_request=adapter)
        except Exception as error:  # of this request alone: its prompt is too long, for example
            finished.append([number, [], 0.0, f"{type(error).__name__}: {error}"[:500], False])
    sent = time.perf_counter()
    while engine.has_unfinished_requests():
        for out in engine.step():
            if out.finished:
                number, completion = int(out.request_id.partition("-")[0]), out.outputs[0]
                reason = completion.finish_reason
                known = reason in ("stop", "length", "repetition")
                error = "" if known else f"it ended with {reason}"
                tokens = list(completion.token_ids)
                finished.append([number, tokens, 0.0, error, reason == "repetition"])
        if finished and time.perf_counter() - sent > EVERY:
            sent = time.perf_counter()
            asked = _send_answers(finished, asked, send)
        elif time.perf_counter() - sent > ALIVE:
            sent = time.perf_counter()
            send({"alive": True})
    _send_answers(finished, asked, send)
    send({"done": True})


def _send_answers(finished: list[list], since: float, send: Callable[[dict], None]) -> float:
    """Send and empty the list, each answer with its share of the time; returns the time now."""
    now = time.perf_counter()
    for entry in finished:
        entry[2] = round((now - since) / len(finished), 4)
    if finished:
        send({"answers": finished})
    finished.clear()
    return now


def watch_over() -> None:
    """Fork a process that ends this one's group once this one is gone, else vLLM's own would stay
    and hold a GPU's memory. On Linux, this one goes with the thread that started it."""
    watched = os.getpid()
    if os.fork():
        with contextlib.suppress(OSError, AttributeError):
            die_with_parent()
        return
    try:
        for fd in (0, 1, 2):
            os.close(fd)  # the other side waits for their end
        while os.getppid() == watched:
            time.sleep(0.2)
        os.killpg(os.getpgid(0), signal.SIGKILL)
    finally:
        os._exit(0)


def main() -> None:
    """Start vLLM and answer messages until standard input ends."""
    gpus.hold()
    watch_over()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer

    def send(message: dict) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    try:
        settings = json.loads(sys.stdin.readline())
        llm = start(settings)
        send({"started": True})
        for line in sys.stdin:
            message = json.loads(line)
            if "load" in message:
                llm.collective_rpc("reload_weights", kwargs={"weights_path": message["load"]})
                llm.reset_prefix_cache()  # it holds what the weights of before made
                send({"loaded": True})
            elif "texts" in message:
                send({"logprobs": logprobs(llm, settings, message["texts"])})
            else:
                answer(llm, settings, message["requests"], send)
    except Exception as error:
        send({"failed": f"{type(error).__name__}: {error}"[:2000]})
        raise


# One of vLLM's own processes (multiprocessing's spawn), which may end after this one.
if __name__ == "__mp_main__":
    gpus.hold()
if __name__ == "__main__":
    main()
