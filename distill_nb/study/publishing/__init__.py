"""What leaves this machine: a run's checkpoints, a set of traces, an archive of a study.

licences.py     licences of base models and data, and what only the publisher can answer
publication.py  files and revisions that make a repository of the hub, and how a plan is shown
of_run.py       what is published of a run: one branch a checkpoint
of_set.py       what is published of a set of traces
upload.py       sends it to the hub; what is there already isn't sent again
study_files.py  which files of a study go into an archive, and what each is
archive.py      a study as an RO-Crate
archive_licences.py  licences of the models and data that its runs used
commands.py     the subcommands publish and archive
"""
