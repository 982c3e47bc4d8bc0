"""What a run will take before it starts: memory, tokens, disk and hours.

plan.py                 a plan as a table, what to change where a run does not fit, those of a study
estimate.py             the estimate of one run
memory.py               its memory by parts, and whether activations fit without being recomputed
evaluation_estimate.py  the hours and the disk of its evaluation
architectures.py        a student from its config alone: sizes of its weights and adapters
step_memory.py          the memory of one training step, tried without data
trace_lengths.py        how long traces and answers are to be expected
devices.py              GPUs by their makers' figures, and this machine as measured
"""
