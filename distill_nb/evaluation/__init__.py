"""Evaluation: the base student and every checkpoint of a run answer benchmarks, one record a
problem and sample.

evaluate.py  evaluate a run: make what is missing, or grade it again
collect.py   answers of one engine, graded and written as they come
proofs.py    whether an engine applies the adapters that it serves
shares.py    how much of one shift of log-probabilities is found in another
baseline.py  the base student's records, which runs share
shards.py    one run's evaluation by several jobs, each with a shard of the records
shard_merge.py  the shards' records put together
records.py   those records on disk
record_fields.py  what a record holds, in words
accuracy_log.py  the accuracy of each part as it is done, for a tracker
regrade.py   stored completions graded again, without the model
resume.py    checkpoints and records on disk, and whether they belong to this run
inspect_log.py  records as logs of Inspect
foreign.py   logs of Inspect and of the lm-evaluation-harness, read
imported.py  answers made elsewhere, stored as the records of a run
engines/     token ids in, completions out: Transformers or vLLM
"""
