"""The published study: its numbers as data, and what they say.

accuracies.py    its printed accuracies (accuracies.csv) as a tidy table
grim.py          whether a printed percentage is possible with its number of problems
claims.py        what its text says (claims.csv) against what its numbers say
claim_checks.py  how each kind of claim is checked
comparisons.py   differences between cells, their verdicts, and the verdict of several together
findings.py      its six key findings, on its numbers or on ours
reproduction.py  its numbers beside ours
"""
