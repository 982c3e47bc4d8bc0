"""What the pages of notebook_page.py look like: one style sheet, one script, the notebook's
template, the index's template.

The notebook's template replaces the page around nbconvert's lab template, whose own loads
RequireJS, MathJax and Mermaid from the network and carries 300 kB of JupyterLab's style."""

CSS = """
:root { color-scheme: light dark; --text: #1c1e21; --paper: #fff; --soft: #fafbfc; --line: #d9dce1; --link: #0b57a4;
        --faint: #5b616b; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e6ea; --paper: #16181c; --soft: #22252b; --line: #3a3f47; --link: #7db8f5; --faint: #a0a7b1; }
  img[src^="data:image"] { background: #fff; }
}
* { box-sizing: border-box; }
body { margin: 0; color: var(--text); background: var(--paper); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 1rem 1rem 4rem; overflow-wrap: break-word; }
nav { display: flex; flex-wrap: wrap; gap: .5rem 1rem; justify-content: space-between; align-items: center; }
h1, h2, h3 { line-height: 1.25; margin: 1.6em 0 .5em; }
h1 { font-size: 1.6rem; margin-top: .6em; } h2 { font-size: 1.25rem; }
a { color: var(--link); }
img, svg, video { max-width: 100%; height: auto; }
pre { overflow-x: auto; font: .83rem/1.45 ui-monospace, Menlo, Consolas, monospace; margin: 0; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .92em; }
table { border-collapse: collapse; font-size: .87rem; margin: .6rem 0; }
th, td { padding: .3rem .7rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th, td.short { white-space: nowrap; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th button { all: unset; cursor: pointer; font-weight: inherit; }
th button::after { content: " ↕"; color: var(--faint); }
th[aria-sort="ascending"] button::after { content: " ▲"; } th[aria-sort="descending"] button::after { content: " ▼"; }
:focus-visible, th button:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
button { font: inherit; font-size: .87rem; padding: .3rem .8rem; border: 1px solid var(--line); border-radius: 6px;
         color: inherit; background: var(--soft); cursor: pointer; }
select { font: inherit; font-size: .87rem; max-width: 100%; color: inherit; background: var(--soft); }
.wide { overflow-x: auto; }
.wide table { margin-right: 2px; }
@media (min-width: 58rem) { .wide { width: max-content; max-width: calc(50vw + 24rem); } }  /* up to the window's right edge */
@media (max-width: 42rem) { .figure { overflow-x: auto; } .figure img { max-width: none; width: 40rem; } }
.missing { color: var(--faint); font-style: italic; }
"""

NOTEBOOK_CSS = """
.jp-Cell { margin: .7rem 0; }
.jp-InputArea-editor, .jp-MarkdownOutput pre { background: var(--soft); border: 1px solid var(--line);
  border-radius: 6px; padding: .6rem .8rem; overflow-x: auto; }
.highlight { background: none; }
.celltag_injected-parameters .jp-InputArea-editor { border-left: 4px solid var(--link); }
.celltag_injected-parameters .jp-InputArea::before { content: "parameters of this run"; font-size: .8rem;
  color: var(--faint); }
.jp-OutputArea-child { margin: .5rem 0; }
.jp-RenderedText pre, .jp-InputArea-editor pre, .jp-MarkdownOutput pre { white-space: pre-wrap; overflow-wrap: anywhere; }
[data-mime-type="application/vnd.jupyter.stderr"] pre { color: var(--faint); }
details.code > summary { cursor: pointer; font-size: .8rem; color: var(--faint); margin-bottom: .3rem; }
details.code[open] .closed, details.code:not([open]) .opened, .anchor-link, .jp-Collapser { display: none; }
.ansi-bold { font-weight: bold; } .ansi-red-fg { color: #c0392b; } .ansi-green-fg { color: #1e8449; }
.ansi-yellow-fg { color: #9a6700; } .ansi-blue-fg { color: #2471a3; } .ansi-cyan-fg { color: #117a8b; }
"""

# Sorting by a click or a key on a table's head: up, down, and back to the order that it came in.
# Numbers sort by the number that a cell begins with, so that `47.9* [35, 61]` is 47.9; cells
# without a value come last in both directions.
SCRIPT = """
const missing = /^(|—|–|-|\\?|nan|none)$/i;
const textOf = (row, i) => row.cells[i].textContent.trim().replace(/−/g, "-");
const numberOf = text => {
  const found = text.match(/^[+-]?(\\d[\\d,]*\\.?\\d*|\\.\\d+)(e[+-]?\\d+)?/i);
  return found ? parseFloat(found[0].replace(/,/g, "")) : NaN;
};
document.querySelectorAll("table").forEach(table => {
  const body = table.tBodies[0], heads = table.tHead ? [...table.tHead.rows].at(-1).cells : [];
  if (!body || body.rows.length < 2 || body.querySelector("[rowspan], [colspan]")) return;
  const rows = [...body.rows];
  [...heads].forEach((head, i) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const before = head.getAttribute("aria-sort");
      const now = before === null ? "ascending" : before === "ascending" ? "descending" : null;
      [...heads].forEach(h => h.removeAttribute("aria-sort"));
      if (now === null) { body.append(...rows); return; }
      head.setAttribute("aria-sort", now);
      const there = rows.filter(r => !missing.test(textOf(r, i))), gone = rows.filter(r => missing.test(textOf(r, i)));
      const numeric = there.every(r => !isNaN(numberOf(textOf(r, i)))), sign = now === "ascending" ? 1 : -1;
      const compare = (a, b) => numeric ? numberOf(a) - numberOf(b) : a.localeCompare(b, "en", {numeric: true});
      there.sort((a, b) => sign * compare(textOf(a, i), textOf(b, i)));
      body.append(...there, ...gone);
    };
  });
});
// A box that does not scroll need not be stopped at.
const boxes = document.querySelectorAll(".wide, .figure");
const fit = () => boxes.forEach(box => { box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1; });
addEventListener("load", fit);
addEventListener("resize", fit);
document.addEventListener("toggle", fit, true);
"""

NOTEBOOK = """{%- extends 'lab/base.html.j2' -%}

{%- block header -%}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ nb.metadata.title | escape_html }}</title>
<style>{{ resources.page_css }}</style>
</head>
{%- endblock header -%}

{%- block body_header -%}
<body>
<main>
<nav>
{% if resources.back %}<a href="{{ resources.back | escape_html }}">← all runs</a>{% else %}<span></span>{% endif %}
<button type="button" id="all-code" hidden>show all code</button>
</nav>
{%- endblock body_header -%}

{%- block in_prompt -%}{%- endblock -%}
{%- block empty_in_prompt -%}{%- endblock -%}
{%- block output_area_prompt -%}{%- endblock -%}
{%- block data_javascript -%}{%- endblock -%}
{%- block data_widget_view -%}{%- endblock -%}

{%- block data_png -%}
<div class="jp-RenderedImage jp-OutputArea-output figure">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
{%- set words = output | get_metadata('alt', 'image/png') -%}
{%- if words %} alt="{{ words | escape_html }}"{% endif %}>
</div>
{%- endblock data_png -%}

{%- block input -%}
{%- set tags = cell.metadata.get('tags', []) -%}
{%- if 'injected-parameters' not in tags and (tags | select('in', resources.folded) | list) -%}
<details class="code"><summary><span class="closed">show code</span><span class="opened">hide code</span></summary>
{{ super() }}
</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock input -%}

{%- block body_footer -%}
</main>
<script>
// Without scripts each cell's own "show code" still works, so the button appears only here.
const button = document.getElementById("all-code"), folds = document.querySelectorAll("details.code");
button.hidden = folds.length === 0;
button.onclick = () => {
  const open = button.textContent.startsWith("show");
  folds.forEach(fold => { fold.open = open; });
  button.textContent = (open ? "hide" : "show") + " all code";
};
{{ resources.script }}
</script>
</body>
{%- endblock body_footer -%}

{%- block footer -%}
</html>
{%- endblock footer -%}
"""

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>distill_nb · {scale}</title>
<style>{css}</style>
</head>
<body>
<main>
<h1>Runs of scale “{scale}”</h1>
<p>{runs}. Analysis over all of them: {analysis}</p>
{failed}
<table>
<caption>The runs and their pages</caption>
<thead><tr><th>run</th><th>traces</th><th>student</th><th>domain</th><th>seed</th><th>steps</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
{note}
{sets}
<h2>Accuracy</h2>
{accuracy}
</main>
<script>{script}</script>
</body>
</html>
"""


def notebook_css() -> str:
    """The style of a notebook's page, the colours of highlighted code for a light and a dark screen
    included."""
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{CSS}\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{NOTEBOOK_CSS}"
