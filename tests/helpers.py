"""Shared by the tests: parameters of a tiny run."""
from distill_nb import params


def tiny(**changes):
    """Params of a tiny run (random 2-layer Llama, 4 steps of 4 examples), with changes."""
    from distill_nb import paths

    files = [paths.PARAMS_DIR / "run09.yaml", paths.PARAMS_DIR / "tiny.yaml"]
    return params.validate(params.read_files(*files) | changes)
