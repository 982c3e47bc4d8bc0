"""What a run will take before it starts: memory, tokens, disk and hours.

plan.py           a plan as a table, what to change where a run does not fit, the plans of a study
estimate.py       the estimate of one run
architectures.py  a student from its config alone: sizes of its weights and adapters
step_memory.py    the memory of one training step, tried without data
devices.py        GPUs by their makers' figures, and this machine as measured
"""
