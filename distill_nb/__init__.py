"""Distil reasoning traces into small models with LoRA, in notebooks, and know what that did."""


def __getattr__(name: str) -> str:
    """`distill_nb.__version__`, of what is installed; read when it is asked for."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("distill_nb")
    raise AttributeError(f"module 'distill_nb' has no attribute {name!r}")
