"""Decontamination: problems of the evaluation sets among those of training, and problems that
repeat another.

match.py           which problems match: the same, or the same with other numbers
statements.py      what a problem says, whatever its layout: ids, near-duplicates
words.py           a statement as words, the same for every layout of it
masked.py          words with variables and numbers masked, and whether numbers were changed
short_problems.py  statements of a few words, by what they are about
examples.py        a programming problem without the examples in its statement
"""
