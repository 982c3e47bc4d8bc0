"""What notebooks and readers see: tables, figures, pages, model cards and the paper.

train_report.py    what train.ipynb shows: length ledger, plan, log, how training went
eval_report.py     what eval.ipynb shows of one run: scores, parts, flips
analyze_report.py  what analyze.ipynb shows of a scale's runs: verdicts in words, tables
published_report.py  what published.ipynb shows of the published study, likewise
tables.py          how a table is shown: HTML in a notebook, LaTeX in the paper
study_tables.py    the study's tables: checkpoints, best checkpoints, forgetting, findings
sample_size_tables.py  what a new study would need: problems, samples, seeds
style.py           the look of all figures, and how one is described and shown
training_figures.py  figures of a training: loss, speed, memory, micro-batches, time, lengths
point_labels.py    labels beside points, clear of each other and of lines
run_figures.py     figures of a run or a set of traces: outcomes, tokens, funnel
study_figures.py   the study's figures of accuracies, and those that it commits
change_figures.py  its figures of changes: forgetting, gains, what findings rest on
grid_report.py     what analyze.ipynb shows of settings that runs were repeated with
grid_figures.py    the heat map of settings
compare_page.py    two checkpoints compared, problem by problem
answers_page.py    every answer of a run on a page to read and search
word_index.py      an index of words that a browser can search
part_figures.py    what a change is made of: cut off, unanswered, misformatted, wrong
flips_view.py      answers that flipped, side by side, with a filter
card.py            a model card beside each checkpoint
hub_card.py        the card of a published checkpoint: revisions, licences, proof, beside card.py's
data_card.py       the card of a published set of traces
eval_results.py    scores in the hub's own format
markdown.py        tables and metadata of cards
notebook_page.py   an executed notebook as a self-contained HTML page
index_page.py      the landing page of a scale
accuracy_figure.py all runs of a scale in one figure
run_folder.py      what a run's folder says: what it is, and where it is
run_cards.py       the runs on the landing page: facts and curves
sparkline.py       a small curve beside a number
run_pairs.py       the comparisons that the landing page offers
published_pages.py  the pages of a scale as a folder to publish
headline.py        what came out of a scale's runs, in one sentence
accessible.py      what readers by keyboard, ear or phone need of a page
failures.py        stages that failed, for the index page
markup.py          fills in the templates: HTML, CSS and JavaScript in templates/distill_nb/
paper_numbers.py   the numbers that the paper's sentences speak
paper_tables.py    the paper's tables of power, inflation, and simulated truths
latex.py           the paper: its numbers, tables, figures and PDF
"""
