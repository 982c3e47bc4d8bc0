"""Markdown of cards: tables, and metadata in front."""

from __future__ import annotations

from typing import Any

from distill_nb.params import yaml_text


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; a cell is one line, in which < begins no HTML."""
    lines = []
    for row in (columns, ["---"] * len(columns), *rows):
        cells = [" ".join(str(cell).split()).replace("|", "\\|") for cell in row]
        cells = [cell.replace("<", "&lt;") for cell in cells]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parted(card: str) -> tuple[dict[str, Any], str]:
    """(metadata, text) of a card that begins with YAML between two lines of ---."""
    _, front, text = card.split("---\n", 2)
    return yaml_text.read(front, "README.md") or {}, text


def joined(metadata: dict[str, Any], text: str) -> str:
    """A card of metadata and text; the inverse of `parted`."""
    return f"---\n{yaml_text.dump(metadata, flow=False)}\n---\n{text}"
