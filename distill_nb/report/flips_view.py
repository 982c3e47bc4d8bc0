"""Answers that changed sides, side by side, with a filter."""

from __future__ import annotations

from html import escape

from distill_nb.analysis.flips import KINDS

# flips in one view; characters of a completion, its beginning and its end
SHOWN, LONGEST = (300, 6000)

STYLE = """<style>
.flips form { display: flex; flex-wrap: wrap; gap: .4rem 1rem; margin: .5rem 0; }
.flips label { min-width: 0; } .flips select { max-width: 100%; }
.flips details { border: 1px solid #8886; border-radius: 6px; margin: .3rem 0; padding: .3rem .6rem; }
.flips summary { cursor: pointer; }
.flips .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: .6rem; }
.flips pre { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 26rem; overflow: auto; padding: .5rem;
             border: 1px solid #8884; border-radius: 4px; }
</style>"""
# Both selections of one view decide, without any script of the page's own.
FILTER = (
    "const v = this.closest('.flips'), [b, k] = [...v.querySelectorAll('select')].map(s => "
    "s.value); let n = 0;"
    "v.querySelectorAll('details').forEach(d => { d.hidden = (b && d.dataset.benchmark !== b) || "
    "(k && d.dataset.kind !== k); n += !d.hidden; }); v.querySelector('output').textContent = n + "
    "' shown';"
)


def view(found, tasks: dict, step: int):
    """The flips as HTML that a notebook shows and a report keeps: filters, and each completion
    beside the other.

    tasks: (benchmark, task_id) → benchmarks.Task; of others the problem is not shown. The first
    SHOWN flips, kinds taken in turn."""
    from IPython.display import HTML

    if not len(found):
        return HTML(f"<p>No answer flipped between the base student and step {step}.</p>")
    order = found.groupby(["benchmark", "kind"]).cumcount()
    chosen = found.loc[order.sort_values(kind="stable").index[:SHOWN]].sort_values(
        ["benchmark", "kind", "task_id"]
    )
    left = len(found) - len(chosen)
    note = f"<p>{left} more flips are in the records and not shown.</p>" if left else ""
    return HTML(
        f'{STYLE}<div class="flips"><form onsubmit="return false">'
        + _select("Benchmark", {b: b for b in chosen["benchmark"].unique()})
        + _select("Kind", {k: KINDS[k] for k in KINDS if k in set(chosen["kind"])})
        + f"<output>{len(chosen)} shown</output></form>"
        + "".join(_entry(r, tasks.get((r.benchmark, r.task_id)), step) for r in chosen.itertuples())
        + note
        + "</div>"
    )


def _select(label: str, options: dict[str, str]) -> str:
    inner = "".join(
        f'<option value="{escape(value)}">{escape(text)}</option>'
        for value, text in options.items()
    )
    return (
        f'<label>{label} <select onchange="{escape(FILTER)}"><option '
        f'value="">all</option>{inner}</select></label>'
    )


def _entry(r, task, step: int) -> str:
    problem = f'<pre tabindex="0">{escape(_short(task.prompt))}</pre>' if task else ""
    gold = f"<p>Right answer: {escape(task.gold)}</p>" if task and task.gold else ""
    sample = f", sample {r.sample}" if r.sample else ""
    sides = "".join(
        f"<div><strong>{where}: {escape(outcome)}</strong> "
        f"{escape(f'(answer: {answer})') if answer and gold else ''}"
        f'<pre tabindex="0">{escape(_short(text))}</pre></div>'
        for where, outcome, answer, text in (
            ("base", r.outcome_base, r.answer_base, r.completion_base),
            (f"step {step}", r.outcome_step, r.answer_step, r.completion_step),
        )
    )
    return (
        f'<details data-benchmark="{escape(r.benchmark)}" '
        f'data-kind="{r.kind}"><summary><b>{r.kind}</b> · '
        f"{escape(r.benchmark)} · {escape(r.task_id)}{sample}</summary>"
        f'{problem}{gold}<div class="pair">{sides}</div></details>'
    )


def _short(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n[… {len(text) - LONGEST} characters …]\n{text[-half:]}"
