"""vLLM as an engine: one process (or `data_parallel` of them) that serves the base and every
checkpoint of a run.

vLLM runs in vllm_process.py, in processes of their own: it pins threads and keeps a GPU's memory
until it ends. A process that dies is started again and gets what it still owes. One that dies
repeatedly gets less and less of it, until the request that it dies of is known."""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from distill_nb.evaluation.engines import types
from distill_nb.evaluation.engines.slots import RANKS
from distill_nb.evaluation.engines.types import Answer, EngineFailed, Request
from distill_nb.evaluation.engines.vllm_client import Process
from distill_nb.grading import loops
from distill_nb.params import Params
from distill_nb.runtime import disk, paths, provenance
from distill_nb.students import chat, experts, generation, merge, sources, student

log = logging.getLogger(__name__)

CPU_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB
}
# FlashInfer's sampler knows no seeds, so no answer would use it; its compilation needs nvcc
GPU_ENVIRONMENT = {"VLLM_USE_FLASHINFER_SAMPLER": "0"}
LONE_DEATHS = 3  # requests one after another of which the engine dies
QUIET = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1", "VLLM_CONFIGURE_LOGGING": "1"}


def adapter_rank(folder: Path) -> int:
    """The rank of an adapter's widest layer, from its adapter_config.json."""
    config = json.loads((folder / "adapter_config.json").read_text())
    return max(config["r"], *(config.get("rank_pattern") or {0: 0}).values())


def gpu_settings(p: Params) -> dict[str, float]:
    """vLLM's arguments that only a GPU gets; on a CPU its own values stay."""
    return {
        "gpu_memory_utilization": p.gpu_memory,
        "max_num_seqs": p.max_num_seqs,
        "max_num_batched_tokens": p.max_num_batched_tokens,
    }


@dataclass
class _Share:
    """What one process still owes."""

    requests: list[Request]  # asked now
    later: list[list[Request]] = field(default_factory=list)
    answered: bool = False  # anything since it was last asked
    died: bool = False  # once, before it had answered anything


class VllmEngine:
    """Methods are as in types.Engine.

    Mode merged: the weights of one checkpoint after another take the base's place, in the running
    engine or in a new one. A new one is taken for a mixture of experts, of whose weights vLLM 0.32
    on the CPU does not replace all (the proof shows it), and where the first way fails the proof.
    All of them are written to one place, one after another: vLLM compiles anew for a path that it
    has not seen (ModelConfig.compute_hash has it), and a new engine would do so each time. Once an
    engine runs, it has the weights in memory; the files are there for one that has to be started
    again, until the next checkpoint takes their place. Two places in turn would be two
    compilations, and twice the disk.

    Mode multi: all adapters are loaded, with one slot more than there are: where every slot is
    taken, vLLM on the CPU gives the base's requests the last adapter."""

    name, version = "vllm", types.vllm_version()

    def __init__(
        self,
        p: Params,
        adapters: dict[int, Path],
        mode: str,
        max_model_len: int,
        environment: dict[str, str] | None = None,
    ):
        self.p, self.adapters, self.mode = p, adapters, mode
        self.environment = environment or {}  # of the processes, beside the usual
        self.tokenizer = student.load_tokenizer(p)
        self.stop_ids = chat.stop_ids(self.tokenizer, chat.template_for(p.student, p.chat_template))
        self._processes: list[Process] = []
        self._loaded = 0  # the step whose weights the processes have
        self._merged: disk.Scratch | None = None  # has those weights, if they are not the base's
        self._by_expert: disk.Scratch | None = None  # adapters in the layout that vLLM loads
        self._anew = mode == "merged" and student.is_mixture_of_experts(p)  # one process each
        self._settings = self._engine_settings(max_model_len)

    def _engine_settings(self, max_model_len: int) -> dict:
        import torch

        p = self.p
        engine = {
            "dtype": p.dtype,
            "tensor_parallel_size": p.tensor_parallel,
            "seed": p.seed,
            "max_model_len": min(max_model_len, student.longest_context(p)),
            "generation_config": str(generation.nothing()),
        }
        if torch.cuda.is_available():
            engine |= gpu_settings(p)
        else:
            engine["enforce_eager"] = True
        served = self._loadable() if self.mode == "multi" else {}
        if self.mode == "multi":
            widest, slots = max(map(adapter_rank, served.values())), len(served) + 1
            rank = next((r for r in RANKS if r >= widest), None)
            if rank is None:
                raise ValueError(
                    f"adapter: rank {widest} is more than vLLM serves ({RANKS[-1]}); set adapters "
                    "to merged."
                )
            engine |= {"enable_lora": True, "max_lora_rank": rank}
            engine |= {"max_loras": slots, "max_cpu_loras": slots}
        sampling = {
            "max_tokens": p.max_new_tokens,
            "temperature": p.temperature,
            "top_p": p.top_p,
            "stop_token_ids": self.stop_ids,
        }
        if p.stop_on_loop:
            sampling["repetition_detection"] = loops.DETECTION
        folders = {step: str(folder) for step, folder in served.items()}
        return {"engine": engine, "sampling": sampling, "adapters": folders}

    def _loadable(self) -> dict[int, Path]:
        """The adapters' folders; adapters on experts are written anew, in vLLM's layout."""
        served = dict(self.adapters)
        for step, folder in self.adapters.items():
            if experts.are_adapted(folder):
                self._by_expert = self._by_expert or disk.Scratch(paths.cache(), "experts_")
                served[step] = Path(self._by_expert.name) / paths.step_name(step)
                experts.write_per_expert(folder, served[step])
        return served

    def _environments(self) -> list[dict[str, str]]:
        """One for each process: on GPUs each sees its own."""
        import torch

        on_gpu = torch.cuda.is_available()
        environment = QUIET | (GPU_ENVIRONMENT if on_gpu else CPU_ENVIRONMENT)
        environment |= paths.child_environment() | self.environment
        count, each = self.p.data_parallel, self.p.tensor_parallel
        if not on_gpu:
            return [environment] * count
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if visible == [""]:
            visible = [str(i) for i in range(torch.cuda.device_count())]
        if len(visible) < count * each:
            raise ValueError(
                f"data_parallel: {count} engines of {each} GPUs need {count * each}, and "
                f"{len(visible)} can be seen here; set data_parallel or tensor_parallel lower."
            )
        return [
            environment | {"CUDA_VISIBLE_DEVICES": ",".join(visible[i * each : (i + 1) * each])}
            for i in range(count)
        ]

    def __enter__(self) -> VllmEngine:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for process in self._processes:
            process.close()
        for folder in (self._merged, self._by_expert):
            if folder is not None:
                folder.cleanup()

    def _start(self) -> None:
        """All processes anew, with what is loaded."""
        for process in self._processes:
            process.close()
        self._processes = []
        for environment in self._environments():
            self._processes.append(Process(self._settings_now(), environment))
        for process in self._processes:
            process.receive()

    def _settings_now(self) -> dict:
        return self._settings | {"engine": self._settings["engine"] | {"model": self._weights()}}

    def _weights(self) -> str:
        return str(self._place()) if self._loaded else sources.source(self.p)

    def _place(self) -> Path:
        """Where merged checkpoints are written: for a run, the same path at each evaluation."""
        if self._merged is None:
            run_dir = paths.run_dir(self.p)
            name = f"{run_dir.name}_{provenance.sha256_of_json(str(run_dir))[:12]}"
            self._merged = disk.Scratch(paths.cache(), "merged_", name)  # it may be large
        return Path(self._merged.name) / "model"

    def serve(self, steps: list[int]) -> Iterator[list[int]]:
        if self.mode == "multi":
            yield [0, *steps]
            return
        for step in [0, *steps]:
            if step != self._loaded:
                self._load(step)
            yield [step]

    def _load(self, step: int) -> None:
        if step:
            shutil.rmtree(self._place(), ignore_errors=True)
            merge.write_merged(self.p, self.adapters[step], self._place())
        self._loaded = step
        if self._anew:
            self._start()
        else:
            for process in self._processes:
                process.send({"load": self._weights()})
                process.receive()

    def again(self) -> bool:
        if self.mode == "multi" or self._anew:
            return False
        self._anew = True
        self._start()
        return True

    def logprobs(self, texts: list[tuple[int, list[int], list[int]]]) -> list[list[list[float]]]:
        for process in self._processes:
            process.send({"texts": texts})
        return [process.receive()["logprobs"] for process in self._processes]

    def answers(self, requests: list[Request]) -> Iterator[list[Answer]]:
        """The answers as they finish; all requests are in flight together.

        A process that dies twice without an answer gets half of what it owes, then the other half,
        and so on. A request of which it dies alone is an answer with an error. Raises EngineFailed
        after LONE_DEATHS of these with no answer between them: then it is not the requests."""
        count = len(self._processes)
        shares = [_Share(requests[i::count]) for i in range(count)]
        messages: queue.SimpleQueue = queue.SimpleQueue()
        for i, share in enumerate(shares):
            self._ask(i, share.requests, messages)
        busy, alone = count, 0
        while busy:
            i, message = messages.get()
            share = shares[i]
            if "answers" in message:
                share.answered, alone = True, 0
                numbers = {number for number, *_ in message["answers"]}
                share.requests = [r for r in share.requests if r.number not in numbers]
                yield [self._answer(*entry) for entry in message["answers"]]
                continue
            if "done" in message:
                share.requests = []
            elif share.answered or not share.died:  # it failed, and gets the same again
                share.died = share.died or not share.answered
            elif len(share.requests) == 1:
                alone += 1
                if alone == LONE_DEATHS:
                    raise EngineFailed(message["failed"])
                error = f"the engine died with this request alone: {message['failed']}"
                number = share.requests.pop().number
                yield [Answer(number, "", [], "length", 0.0, error, final=True)]
            else:
                half = len(share.requests) // 2
                share.later.append(share.requests[half:])
                share.requests = share.requests[:half]
            if not share.requests and share.later:
                share.requests = share.later.pop()
            if "failed" in message:
                log.info(
                    f"{message['failed']}; starting it again for {len(share.requests)} requests."
                )
                self._restart(i)
            if share.requests:
                share.answered = False
                self._ask(i, share.requests, messages)
            else:
                busy -= 1

    def _ask(self, i: int, requests: list[Request], messages: queue.SimpleQueue) -> None:
        """Send requests to a process. Its messages go into the queue, up to `done` or `failed`."""
        process = self._processes[i]

        def listen() -> None:
            try:
                process.send({"requests": [[r.number, r.step, r.prompt, r.seed] for r in requests]})
                message: dict = {}
                while "done" not in message:
                    message = process.receive()
                    messages.put((i, message))
            except (EngineFailed, OSError, ValueError) as error:
                messages.put((i, {"failed": str(error)}))

        threading.Thread(target=listen, daemon=True).start()

    def _restart(self, i: int) -> None:
        # Here and not in the thread that listens: a process ends with the thread that started it.
        self._processes[i].close()
        self._processes[i] = Process(self._settings_now(), self._environments()[i])
        self._processes[i].receive()

    def _answer(self, number: int, tokens: list[int], seconds: float, error: str, looped: bool):
        made = types.completion(tokens, self.tokenizer, self.stop_ids, looped)
        return Answer(number, *made, seconds, error)
