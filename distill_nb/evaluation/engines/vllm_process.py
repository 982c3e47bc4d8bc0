"""The process in which vLLM runs, so that its threads, its memory and its death are its own.

JSON lines on standard input and output. First line in: the settings (see generate_vllm.VllmEngine). Then, each answered:
    {"load": folder}                        put these weights in place of the ones that are loaded → {"loaded": true}
    {"texts": [[step, ids, places], …]}     → {"logprobs": [[one for each place], …]}
    {"requests": [[number, step, prompt, seed], …]}  → {"answers": [[number, tokens, seconds, error], …]} …, {"done": true}
While answers are made, {"alive": true} now and then. Anything that goes wrong with the engine is
{"failed": why}, and the end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time

from distill_nb.grading.sandbox.confine import die_with_parent
from distill_nb.runtime import gpus

# seconds between lines of answers, at least; between signs of life where there are none
EVERY, ALIVE = (0.5, 10.0)


def start(settings: dict):
    """vLLM's engine, token ids only."""
    from vllm import LLM

    return LLM(
        skip_tokenizer_init=True,
        generation_config="vllm",
        disable_log_stats=True,
        **settings["engine"],
    )


def lora(settings: dict, step: int):
    """The LoRA request of a step; None for the base and where adapters are merged."""
    from vllm.lora.request import LoRARequest

    folder = settings["adapters"].get(str(step))
    # Numbers of adapters must not be 0.
    return (
        LoRARequest(f"step_{step}", list(settings["adapters"]).index(str(step)) + 1, folder)
        if folder
        else None
    )


def logprobs(llm, settings: dict, texts: list) -> list[list[float]]:
    """Log-probability of ids[place] after ids[:place], for every place of every (step, ids, places)
    of texts.

    Each is a request that may only sample this one token, and all are in flight together: the way
    in which answers are made, where rows of several adapters meet. (vLLM's log-probabilities are
    those before that restriction. Its prompt_logprobs take another way, and fail on the CPU where
    several requests have adapters.)"""
    from vllm import SamplingParams, TokensPrompt

    asked = [(step, ids[:place], ids[place]) for step, ids, places in texts for place in places]
    made = llm.generate(
        [TokensPrompt(prompt_token_ids=prompt) for _, prompt, _ in asked],
        [
            SamplingParams(
                max_tokens=1, temperature=0, logprobs=0, allowed_token_ids=[token], detokenize=False
            )
            for *_, token in asked
        ],
        lora_request=[lora(settings, step) for step, *_ in asked],
        use_tqdm=False,
    )
    found = iter(
        [
            out.outputs[0].logprobs[0][token].logprob
            for out, (*_, token) in zip(made, asked, strict=True)
        ]
    )
    return [[next(found) for _ in places] for *_, places in texts]


def answer(llm, settings: dict, requests: list, say) -> None:
    """Put all requests in flight and say the answers as they finish."""
    from vllm import SamplingParams, TokensPrompt

    engine, finished, asked = llm.llm_engine, [], time.perf_counter()
    for number, step, prompt, seed in requests:
        sampling = SamplingParams(
            seed=seed, detokenize=False, ignore_eos=True, **settings["sampling"]
        )
        try:
            engine.add_request(
                str(number),
                TokensPrompt(prompt_token_ids=prompt),
                sampling,
                lora_request=lora(settings, step),
            )
        except Exception as error:  # of this request alone: its prompt is too long, for example
            finished.append([number, [], 0.0, f"{type(error).__name__}: {error}"[:500]])
    said = time.perf_counter()
    while engine.has_unfinished_requests():
        for out in engine.step():
            if out.finished:
                reason = out.outputs[0].finish_reason
                error = "" if reason in ("stop", "length") else f"it ended with {reason}"
                finished.append(
                    [
                        int(out.request_id.partition("-")[0]),
                        list(out.outputs[0].token_ids),
                        0.0,
                        error,
                    ]
                )
        if finished and time.perf_counter() - said > EVERY:
            said = time.perf_counter()
            asked = _say(finished, asked, say)
        elif time.perf_counter() - said > ALIVE:
            said = time.perf_counter()
            say({"alive": True})
    _say(finished, asked, say)
    say({"done": True})


def _say(finished: list, since: float, say) -> float:
    """Say and empty the list, each answer with its share of the time; returns the time now."""
    now = time.perf_counter()
    for entry in finished:
        entry[2] = round((now - since) / len(finished), 4)
    if finished:
        say({"answers": list(finished)})
    finished.clear()
    return now


def watch_over() -> None:
    """Fork a process that ends this one's group once this one is gone: vLLM's own processes, which
    hold a GPU's memory, would stay. This one is gone with the thread that started it (Linux)."""
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
    gpus.hold()
    watch_over()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer

    def say(message: dict) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    try:
        settings = json.loads(sys.stdin.readline())
        llm = start(settings)
        say({"started": True})
        for line in sys.stdin:
            message = json.loads(line)
            if "load" in message:
                llm.collective_rpc("reload_weights", kwargs={"weights_path": message["load"]})
                llm.reset_prefix_cache()  # it holds what the weights of before made
                say({"loaded": True})
            elif "texts" in message:
                say({"logprobs": logprobs(llm, settings, message["texts"])})
            else:
                answer(llm, settings, message["requests"], say)
    except Exception as error:
        say({"failed": f"{type(error).__name__}: {error}"[:2000]})
        raise


if (
    __name__ == "__mp_main__"
):  # one of vLLM's own processes (multiprocessing's spawn), which may end after this one
    gpus.hold()
if __name__ == "__main__":
    main()
