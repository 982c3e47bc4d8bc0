"""Engines: token ids in, completions out; one interface, two engines.

    with start.start(p, adapters, prompts) as engine:  # adapters: step → folder; 0 is the base
        for steps in engine.serve([100, 200]):  # checkpoints that can be asked now; the base first
            for answers in engine.answers(requests):  # of those steps only; lists, as they finish
                ...

start.py         which engine a run gets, and how it serves adapters
slots.py         what adapters side by side take of a GPU, and whether they are better merged
types.py         the interface: requests, answers, and what an engine does
hf.py            Transformers: one merged checkpoint after another
hf_generate.py   its answers to a batch: what is shared once, what has ended leaves
loop_stop.py     ends answers of Transformers that loop
vllm.py          vLLM: the base and all checkpoints of a run from one engine
tuned.py         vLLM's tuned kernel configuration for experts, lent by a near GPU
vllm_client.py   starts vLLM's process, exchanges messages with it, ends it
vllm_process.py  the process in which vLLM runs
"""
