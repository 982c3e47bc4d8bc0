"""The call of the Papermill that executes this notebook: its parameter files and texts of YAML.

Papermill hands on values that it has read by YAML 1.1: of `seed: 010` the notebook sees 8. The
kernel is a child of Papermill, so the files are named on the command line of its parent. They are
read again, by yaml_text.py, which refuses what is not the same by YAML 1.2. No value is taken from
here. Nothing can be said of a file at an address (s3://…), of a Papermill that was called from
Python, whose values are Python's own, and of a process that may not be looked at."""

import base64
import binascii
import contextlib
import os
from pathlib import Path

import click

from distill_nb.params import reading, yaml_text

# All options of Papermill's that take a value, so that none of these is taken for a file.
_COMMAND = click.Command(
    "papermill",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
    params=[
        click.Option(["-f", "--parameters_file", "files"], multiple=True),
        click.Option(["-y", "--parameters_yaml", "texts"], multiple=True),
        click.Option(["-b", "--parameters_base64", "coded"], multiple=True),
        click.Option(["-p", "--parameters"], nargs=2, multiple=True),
        click.Option(["-r", "--parameters_raw"], nargs=2, multiple=True),
        *(
            click.Option(names)
            for names in (
                ["--engine"], ["--autosave-cell-every"], ["-k", "--kernel"], ["-l", "--language"],
                ["--cwd"], ["--stdout-file"], ["--stderr-file"], ["--log-level"],
                ["--start-timeout", "--start_timeout"], ["--execution-timeout"],
            )
        ),
    ],
)  # fmt: skip


def refuse_ambiguous() -> None:
    """Raises ValueError for what Papermill, where it executes this notebook, has read otherwise
    than the commands of distill-nb do: in a parameter file, a -y or a -b."""
    import psutil

    parent = os.environ.get("JPY_PARENT_PID", "")  # set in every kernel
    if parent.isdecimal():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(parent))
            words, folder = process.cmdline(), Path(process.cwd())
            refuse(words, folder)


def refuse(words: list[str], folder: Path) -> None:
    """`refuse_ambiguous` for a command line and the folder that it was called in."""
    for i, word in enumerate(words):
        if Path(word).name == "papermill" and (i < 2 or words[i - 1] == "-m"):
            break
    else:
        return  # another program
    try:
        given = _COMMAND.make_context("papermill", words[i + 1 :]).params
    except click.ClickException:  # Papermill refuses it, too
        return
    for file in given["files"]:
        if (folder / file).is_file():
            reading.read_file(folder / file, file)
    for text in given["texts"]:
        yaml_text.read(text, "papermill -y")
    for text in given["coded"]:
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            text = base64.b64decode(text).decode()
        yaml_text.read(text, "papermill -b")
