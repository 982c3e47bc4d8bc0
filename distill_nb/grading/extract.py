"""The part of a completion that is graded, read strictly and leniently."""

import re

THINKING = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)


def visible_text(text: str) -> str:
    """A completion without its thinking, in <think> or <thinking>, in any case.

    A <think> that is never closed hides everything after it. A </think> that was never opened hides
    everything before it: the prompt may have begun the thinking, as R1's template does."""
    parts: list[str] = []
    place, thinks = 0, False
    for tag in THINKING.finditer(text):
        if tag[1]:  # it ends here, wherever it began
            if not thinks:
                parts = []
            place, thinks = tag.end(), False
        elif not thinks:
            parts.append(text[place : tag.start()])
            thinks = True
    return "".join(parts if thinks else [*parts, text[place:]])


def closes_its_thinking(trace: str) -> bool:
    """Whether no <think> is left open."""
    last = [tag[1] for tag in THINKING.finditer(trace)][-1:]
    return last != [""]
