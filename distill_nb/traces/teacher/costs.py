"""What asking an API teacher costs: prices, bounds before, sums after."""

from dataclasses import dataclass

from distill_nb import params
from distill_nb.runtime import paths

MILLION = 1_000_000
# No tokenizer of the teacher's is at hand. A byte-level token is at least a byte, so the bytes are
# an upper bound; a request adds a few tokens of its own, and extended thinking a short system text.
OVERHEAD_TOKENS = 200
BYTES_PER_TOKEN = 3.0  # an expectation for English with LaTeX


def price_of(model: str, prices: dict | None = None) -> dict:
    """{"input", "output", "batch"}: dollars per million tokens, and a batch's share of them.

    prices: model → such a mapping, instead of papermill_params/prices.yaml. Raises ValueError for a
    model without one."""
    where = "prices"
    if prices is None:
        where = "papermill_params/prices.yaml"
        prices = params.read_files(paths.PARAMS_DIR / "prices.yaml").get("prices")
    if not isinstance(prices, dict):
        raise ValueError(f"{where}: prices is {prices!r}: write model: {{input: …, output: …}}.")
    price = prices.get(model)
    if price is None:
        raise ValueError(
            f"{where}: teacher_model {model} has no price there, so max_cost could not be kept; "
            "add its line (0 for a model that you serve yourself)."
        )
    if not isinstance(price, dict):
        raise ValueError(f"{where}: {model} is {price!r}: write {{input: …, output: …}}.")
    price = {"batch": 1.0} | price
    for key in ("input", "output", "batch"):
        value = price.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e6:
            raise ValueError(
                f"{where}: {key} of {model} is {value!r}; write a number that is at least 0."
            )
    return {key: float(price[key]) for key in ("input", "output", "batch")}


def cost(price: dict, mode: str, input_tokens: float, output_tokens: float) -> float:
    """Dollars. mode: batch | messages."""
    full = (price["input"] * input_tokens + price["output"] * output_tokens) / MILLION
    return full * (price["batch"] if mode == "batch" else 1.0)


def most_input_tokens(system: str, prompt: str) -> int:
    """More input tokens than a request can be charged for."""
    return len(system.encode()) + len(prompt.encode()) + OVERHEAD_TOKENS


def likely_input_tokens(system: str, prompt: str) -> int:
    """About how many input tokens a request has."""
    return round((len(system.encode()) + len(prompt.encode())) / BYTES_PER_TOKEN) + 20


def spent(price: dict, tokens: dict[str, list[int]]) -> float:
    """Dollars of what a store's tokens() counts."""
    return sum(cost(price, mode, *counts) for mode, counts in tokens.items())


def dollars(amount: float) -> str:
    """$1,234.50, and $0.0012 where cents would show none."""
    return f"${amount:,.2f}" if amount == 0 or amount >= 0.01 else f"${amount:.2g}"


@dataclass(frozen=True)
class Estimate:
    """What a call of `generation.generate` would send and cost. Dollars; tokens of all requests
    together.

    "next" is what is sent first: one attempt at each problem that has none, or a repetition of what
    failed; next_affordable of these are within max_cost. "all" is what would be sent if every
    attempt were wrong. most_ is an upper bound (every answer as long as teacher_max_tokens);
    likely_ has the mean length of the answers that are in the folder already, and is None where
    there are none."""

    problems: int
    solved: int
    mode: str
    next_requests: int
    next_affordable: int
    all_requests: int
    likely_input_tokens: int
    most_output_tokens: int
    likely_output_tokens: int | None
    most_cost: float
    likely_cost: float | None
    most_cost_of_all: float
    spent: float
    max_cost: float

    def text(self) -> str:
        """The estimate in words, for a notebook."""
        likely, fits = "", ""
        if self.likely_cost is not None:
            likely = (
                f" By the answers so far, about {self.likely_output_tokens:,} output tokens and "
                f"{dollars(self.likely_cost)}."
            )
        if self.next_affordable != self.next_requests:
            fits = f", enough for {self.next_affordable:,} of the next"
        price = "batch price" if self.mode == "batch" else "full price"
        return (
            f"{self.problems:,} problems, {self.solved:,} of them solved; {dollars(self.spent)} "
            f"spent. Next: {self.next_requests:,} requests ({price}), about "
            f"{self.likely_input_tokens:,} input tokens, at most {self.most_output_tokens:,} "
            f"output tokens, at most {dollars(self.most_cost)}.{likely} If every attempt failed: "
            f"{self.all_requests:,} requests, at most {dollars(self.most_cost_of_all)}. max_cost "
            f"is {dollars(self.max_cost)}{fits}."
        )
