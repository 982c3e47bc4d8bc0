"""The published study: its numbers as data, and what they say.

accuracies.py    its printed accuracies (accuracies.csv) as a tidy table
grim.py          whether a printed percentage is possible with its number of problems
rounding.py      every number of correct answers that a printed percentage allows
claims.py        what its text says (claims.csv) against what its numbers say
claim_checks.py  how each kind of claim is checked
lookup.py        finding the runs and cells that a finding is about
bounds.py        intervals and one-sided tests of differences, by one construction
comparisons.py   differences, what is claimed of them, and their verdicts
conclusions.py   what a finding is; verdict and sentence from comparisons
key_findings.py  the study's six key findings
own_domain.py    a seventh of ours: does distillation help in the domain that it trains?
findings.py      all seven, on its numbers or on ours
fragility.py     by how many problems each run's best checkpoint leads
reproduction.py  its numbers beside ours, cell by cell
pooled.py        the same, all cells together
"""
