"""Traces: a teacher's rows → a set to train on, verified, deduplicated, decontaminated and counted.

params.py         what a set is; strict reading of its parameters
build.py          make a set, or leave a finished one alone
shards.py         one set by several jobs
from_hub.py       a set from the hub or local files: rows judged, selected, fetched, written
hub.py            DeepSeek-R1's traces on the hub: which files
hub_rows.py       their columns, and which row is good
scan.py           all rows judged in several processes, resumable, in little memory
row_group.py      what a worker process does with one row group
workers.py        the worker processes
selection.py      which of the good rows make the set
from_teacher.py   a set from an API teacher: problems judged, asked, verified, written
teacher/          the API teacher
decontamination/  problems of the evaluation sets among those of training
funnel.py         what became of a source's rows
files.py          a set's files
prompts.py        what a student is asked: in the benchmarks' words
pocket.py         generated traces
rows.py           a row of a local file as a trace, read strictly
load.py           traces to train on: a set, generated ones, or a local file
ledger.py         traces as tokens, and what the length limit does to them
show.py           what a report shows of a set
"""
