"""A study: a graph of stages, each of which is a notebook with its parameters.

study_file.py   a study as a file: its runs, baselines, sets; which one is meant
grid.py         a grid over a run: a run for each combination of values
new.py          the files of a new study
graph.py        the stages, their parameters, and which reads which
ingredients.py  what a stage is made of, and one hash over it
stamps.py       whether a stage is done: finished, and as it would be made now
status.py       what is done, what would run, and why
notebooks.py    how a notebook is executed
command_line.py the group of subcommands, and the options that several have
answer_commands.py  the subcommands compare, export and import
study_commands.py  the subcommands study and new
page_commands.py  the subcommands of pages, figures and the paper
stage_commands.py  the hidden subcommands that the Snakefile and the Makefile call
publishing/     the subcommands publish and archive: what leaves this machine
commands.py     what a command does with parameters and notebooks
opening.py      the subcommand open: report pages in the desktop's browser
stage.py        run one stage, on GPUs of its own
stage_shards.py one shard of a stage that several jobs make; then the stage itself
shard_stamps.py which stages have shards, and what says that one is done
verify.py       run a recorded run again, and compare
doctor.py       what this machine has of what a study needs
online.py       what the hub and the APIs have of it: asks all sources, with a limit for each
online_datasets.py online_benchmarks.py online_students.py online_apis.py online_disk.py
                how each kind of source is asked, and compared with what the code expects
online_hub.py   what these ask of the hub
online_budget.py  what is downloaded: counted and bounded
tiny.py         the tiny study's benchmark files, in the shapes of the hubs'
stand_in.py     the tiny study's API teacher
"""
