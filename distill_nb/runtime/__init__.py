"""What all other rooms stand on: places, files that survive a kill, locks, signals, GPUs, and what
made a result.

paths.py       where everything is
files.py       files that are written whole or not at all
text.py        texts in one line, and without halves of surrogate pairs
jsonl.py       files of one JSON object a line: records of our own, and data from elsewhere
file_kinds.py  what a file is that should be JSON lines and is not
data_files.py  data from elsewhere: .jsonl and .parquet files, row by row
provenance.py  what made a result: parameters, versions, code, device, times
code_hash.py   which modules an entry runs, and a hash of each
imports.py     imports of large libraries, without the garbage collector
log.py         messages of the package, shown as plain lines
durations.py   durations in words: 83 seconds, 1.4 to 4.7 minutes
progress.py    progress bars, in Jupyter and in terminals
tracking.py    the progress of a run, mirrored to a tracker
trackers.py    trackers, through their own packages
shard.py       one of several jobs that share a piece of work
lock.py        one process at a time in a folder
disk.py        disks that fill up; folders that are whole or count as absent
stop.py        a process that is asked to end: signals, Slurm's time limit
devices.py     cores and memory that this process may use
control_group.py  the limits that a control group sets to both
memory_group.py   control groups made to hold others to an amount of memory
gpus.py        a GPU for each job
compiler.py    the C compiler that a GPU's kernels need
hub.py         files of the Hugging Face hub, and in a sentence why one cannot be had
"""
