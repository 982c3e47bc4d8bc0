"""Decontamination: problems of the evaluation sets among those of training, and problems that
repeat another.

evaluation_sets.py  the evaluation sets' problems
match.py            which of them a training problem asks: the same, or with other numbers
statements.py       what a problem says, whatever its layout: ids, near-duplicates
near.py             a second look at problems that are reworded
turned.py           whether a sign or a word was turned into its opposite
tasks.py            whether a programming task has another object or operation
forms.py            the words by which problems are compared
synonyms.py         words that mean the same in problems, and words that are opposites
words.py            a statement as words, the same for every layout of it
symbols.py          LaTeX commands and Unicode signs that say the same
number_words.py     numbers in words as digits
masked.py           words with variables and numbers masked, and whether numbers were changed
short_problems.py   short statements, by what they are about
examples.py         a programming problem without the examples in its statement
"""
