"""What all other rooms stand on: places, files that survive a kill, locks, signals, GPUs, and what
made a result.

paths.py       where everything is
jsonl.py       lines and files, written so that a kill leaves them whole
provenance.py  what made a result
code_hash.py   which modules an entry depends on, and one hash over them
lock.py        one process at a time in a folder
disk.py        disks that fill up; folders that are whole or count as absent
stop.py        a process that is asked to end: signals, Slurm's time limit
devices.py     cores and memory that a process may use
gpus.py        a GPU for each job
hub.py         files of the hub, and in a sentence why one cannot be had
"""
