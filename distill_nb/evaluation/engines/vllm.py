"""vLLM as an engine: one process (or `data_parallel` of them) that serves the base and every
checkpoint of a run.

vLLM runs in vllm_process.py, in processes of their own: it pins threads and keeps a GPU's memory
until it ends. One that dies is started again and gets what it still owes; one that goes on dying
gets less and less of it, until it is known which request it dies of."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

from distill_nb.evaluation.engines.types import (
    Answer,
    EngineFailed,
    Request,
    adapter_rank,
    completion,
    vllm_version,
)
from distill_nb.evaluation.engines.vllm_pipe import Process
from distill_nb.params import Params
from distill_nb.runtime import disk, paths
from distill_nb.students import chat, experts, proof, sources, student

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has room for
# GiB
CPU_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "2",
}
LONE_DEATHS = 3  # requests one after another of which the engine dies
QUIET = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1", "VLLM_CONFIGURE_LOGGING": "1"}


class VllmEngine:
    """See start.py. In mode merged the weights of one checkpoint after another take the base's
    place in the running engine, or in a new one: for a mixture of experts, of which vLLM 0.32 on
    the CPU does not replace all (seen by the proof), and where the first way fails the proof. In
    mode multi all adapters are loaded, with a slot more than there are: vLLM on the CPU, with every
    slot taken, gives the base's requests the last adapter."""

    name, version = "vllm", vllm_version()

    def __init__(self, p: Params, adapters: dict[int, Path], mode: str, max_model_len: int):
        self.p, self.adapters, self.mode = p, adapters, mode
        self.tokenizer = student.load_tokenizer(p)
        self.stop_ids = chat.stop_ids(self.tokenizer, chat.template_for(p.student, p.chat_template))
        self._loaded, self._merged, self._processes, self._by_expert = 0, None, [], None
        self._settings = self._engine_settings(max_model_len)
        # each checkpoint in a new process
        self._anew = mode == "merged" and student.is_mixture_of_experts(p)

    def _engine_settings(self, max_model_len: int) -> dict:
        import torch

        p = self.p
        engine = {
            "model": sources.source(p),
            "dtype": p.dtype,
            "tensor_parallel_size": p.tensor_parallel,
            "seed": p.seed,
            "max_model_len": min(max_model_len, student.longest_context(p)),
        }
        engine |= (
            {"gpu_memory_utilization": p.gpu_memory}
            if torch.cuda.is_available()
            else {"enforce_eager": True}
        )
        served = self._loadable() if self.mode == "multi" else {}
        if self.mode == "multi":
            widest, slots = max(map(adapter_rank, served.values())), len(served) + 1
            rank = next((r for r in RANKS if r >= widest), None)
            if rank is None:
                raise ValueError(
                    f"adapter: rank {widest} is more than vLLM serves ({RANKS[-1]}); set adapters "
                    "to merged."
                )
            engine |= {
                "enable_lora": True,
                "max_lora_rank": rank,
                "max_loras": slots,
                "max_cpu_loras": slots,
            }
        sampling = {
            "max_tokens": p.max_new_tokens,
            "temperature": p.temperature,
            "top_p": p.top_p,
            "stop_token_ids": self.stop_ids,
        }
        return {
            "engine": engine,
            "sampling": sampling,
            "adapters": {s: str(f) for s, f in served.items()},
        }

    def _loadable(self) -> dict[int, Path]:
        """The adapters' folders; of those with adapters on experts, one written anew in the layout
        that vLLM loads."""
        served = dict(self.adapters)
        for step, folder in self.adapters.items():
            if experts.are_adapted(folder):
                if self._by_expert is None:
                    self._by_expert = disk.Scratch(paths.cache(), "experts_")
                served[step] = Path(self._by_expert.name) / paths.step_name(step)
                experts.write_per_expert(folder, served[step])
        return served

    def _environments(self) -> list[dict[str, str]]:
        """One for each process: on GPUs each sees its own."""
        import torch

        environment, count, each = (
            QUIET | paths.child_environment(),
            self.p.data_parallel,
            self.p.tensor_parallel,
        )
        if not torch.cuda.is_available():
            return [CPU_ENVIRONMENT | environment] * count
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        visible = visible if visible != [""] else [str(i) for i in range(torch.cuda.device_count())]
        if len(visible) < count * each:
            raise ValueError(
                f"data_parallel: {count} engines of {each} GPUs need {count * each}, and "
                f"{len(visible)} can be "
                "seen here; set data_parallel or tensor_parallel lower."
            )
        return [
            environment | {"CUDA_VISIBLE_DEVICES": ",".join(visible[i * each : (i + 1) * each])}
            for i in range(count)
        ]

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        """All processes anew, with what is loaded."""
        for process in self._processes:
            process.close()
        self._processes = []
        for environment in self._environments():
            self._processes.append(Process(self._settings_now(), environment))
        for process in self._processes:
            process.hear()

    def _settings_now(self) -> dict:
        return self._settings | {"engine": self._settings["engine"] | {"model": self._weights()}}

    def _weights(self) -> str:
        return self._merged.name if self._merged else sources.source(self.p)

    def __exit__(self, *_):
        for process in self._processes:
            process.close()
        for folder in (self._merged, self._by_expert):
            if folder is not None:
                folder.cleanup()

    def serve(self, steps: list[int]) -> Iterator[list[int]]:
        """Load what must be loaded; yields which steps can be asked, the base among the first of
        them."""
        if self.mode == "multi":
            yield [0, *steps]
            return
        for step in [0, *steps]:
            if step != self._loaded:
                old, self._merged = self._merged, None
                if step:
                    self._merged = disk.Scratch(paths.cache(), "merged_")  # it may be large
                    student.write_merged(self.p, self.adapters[step], Path(self._merged.name))
                if self._anew:
                    self._start()
                else:
                    for process in self._processes:
                        process.say({"load": self._weights()})
                        process.hear()
                self._loaded = step
                if old is not None:
                    old.cleanup()
            yield [step]

    def again(self) -> bool:
        """Load what is loaded in another way, after it has failed its proof; False where there is
        none."""
        if self.mode == "multi" or self._anew:
            return False
        self._anew = True
        self._start()
        return True

    def logprobs(self, texts: list[tuple[int, list[int]]]) -> list[list[list[float]]]:
        """Of every (step, token ids) the log-probabilities at `proof.places`, from every
        process."""
        for process in self._processes:
            process.say(
                {"texts": [[step, ids, proof.places(ids, self.p.dtype)] for step, ids in texts]}
            )
        return [process.hear()["logprobs"] for process in self._processes]

    def answers(self, requests: list[Request]) -> Iterator[list[Answer]]:
        """The answers as they finish; all requests are in flight together.

        A process that dies without having answered anything, and dies again, gets half of what it
        owes and then the other half, and so on: a request that it dies of alone is an answer with
        an error. Raises EngineFailed where LONE_DEATHS of these come with no answer between them:
        then it is not the requests."""
        open_requests, count = {r.number: r for r in requests}, len(self._processes)
        owed = [[r.number for r in requests[i::count]] for i in range(count)]
        later, answered, died = [[] for _ in owed], [False] * count, [False] * count
        heard: queue.SimpleQueue = queue.SimpleQueue()
        for i in range(count):
            self._ask(i, [open_requests[n] for n in owed[i]], heard)
        busy, alone = count, 0
        while busy:
            i, message = heard.get()
            if "answers" in message:
                answered[i], alone = True, 0
                numbers = {number for number, *_ in message["answers"]}
                owed[i] = [n for n in owed[i] if n not in numbers]
                yield [self._answer(*entry) for entry in message["answers"]]
                continue
            if "failed" in message:
                again = answered[i] or not died[i]
                died[i] = died[i] or not answered[i]
                if not again and len(owed[i]) == 1:
                    alone += 1
                    if alone == LONE_DEATHS:
                        raise EngineFailed(message["failed"])
                    error = f"the engine died with this request alone: {message['failed']}"
                    yield [Answer(owed[i].pop(), "", [], "length", 0.0, error, final=True)]
                elif not again:
                    half = len(owed[i]) // 2
                    later[i].append(owed[i][half:])
                    owed[i] = owed[i][:half]
            else:  # done
                owed[i] = []
            if not owed[i] and later[i]:
                owed[i] = later[i].pop()
            if "failed" in message:
                print(f"{message['failed']}; starting it again for {len(owed[i])} requests.")
                self._restart(i)
            if owed[i]:
                answered[i] = False
                self._ask(i, [open_requests[n] for n in owed[i]], heard)
            else:
                busy -= 1

    def _ask(self, i: int, requests: list[Request], heard: queue.SimpleQueue) -> None:
        """Send requests to a process; what it says goes into the queue, up to `done` or
        `failed`."""
        process = self._processes[i]

        def listen() -> None:
            try:
                process.say({"requests": [[r.number, r.step, r.prompt, r.seed] for r in requests]})
                message = {}
                while "done" not in message:
                    message = process.hear()
                    heard.put((i, message))
            except (EngineFailed, OSError, ValueError) as error:
                heard.put((i, {"failed": str(error)}))

        threading.Thread(target=listen, daemon=True).start()

    def _restart(self, i: int) -> None:
        # Here and not in the thread that listens: a process ends with the thread that started it.
        self._processes[i].close()
        self._processes[i] = Process(self._settings_now(), self._environments()[i])
        self._processes[i].hear()

    def _answer(self, number: int, tokens: list[int], seconds: float, error: str) -> Answer:
        return Answer(number, *completion(tokens, self.tokenizer, self.stop_ids), seconds, error)
