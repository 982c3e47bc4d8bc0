"""The group of all subcommands of `distill-nb`, how one is made, and options that several have."""

import difflib
import sys
from collections.abc import Callable
from functools import wraps

import click

from distill_nb.analysis import margins
from distill_nb.runtime import disk, log
from distill_nb.study import study_file

SCALES = click.Choice(["full", "pocket", "tiny"])
FILES = click.argument("files", nargs=-1, metavar="[FILE]...")
SCALE = click.option(
    "--scale", default="pocket", type=SCALES, help="Whose runs: a folder of runs/."
)
SELECT_ON = click.option(
    "--select-on",
    default="test",
    type=click.Choice(["test", "dev"]),
    help="The best checkpoint by all problems, or by a fixed half of them.",
)
MARGIN = click.option(
    "--margin", default=margins.MARGIN, type=float, help="Points; a smaller change does not matter."
)
PARAMETER = click.option(
    "-p", "changes", nargs=2, multiple=True, metavar="KEY VALUE", help="Set one parameter, in YAML."
)


class Commands(click.Group):
    """A group that says of an unknown subcommand which one may be meant."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            shown = [name for name, known in self.commands.items() if not known.hidden]
            close = difflib.get_close_matches(name, shown, n=1)
            remedy = f"write {close[0]} if that is meant, or one of " if close else "write one of "
            sys.exit(f"distill-nb has no command {name}: {remedy}{', '.join(sorted(shown))}.")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="distill_nb")
@click.option("--traceback", is_flag=True, help="Where a command fails, show where in the code.")
@click.option(
    "--study",
    metavar="FILE",
    envvar=study_file.VARIABLE,
    help="The study that the command is about, and whose folder of runs/. Default: the published.",
)
def main(traceback: bool, study: str | None) -> None:
    """Distil a teacher's reasoning traces into a small model, and know what that did.

    A FILE is a parameter file: a path, or a name in papermill_params/. Later files win. Without one
    a command does the pocket run, a real 135M student on a CPU.
    """
    log.show()
    if study:
        try:
            study_file.use(study)
        except ValueError as error:
            sys.exit(str(error))


def command(name: str = "", **options) -> Callable:
    """A subcommand that ends with one sentence where it cannot do what it was asked."""

    def decorate(function: Callable) -> click.Command:
        @wraps(function)
        def quiet(*arguments, **given):
            try:
                return function(*arguments, **given)
            except (ValueError, disk.DiskFull) as error:
                if click.get_current_context().find_root().params["traceback"]:
                    raise
                sys.exit(str(error))

        return main.command(name or function.__name__, **options)(quiet)

    return decorate
