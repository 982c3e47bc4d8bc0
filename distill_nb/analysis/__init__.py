"""Analysis: records of our runs and the published study's numbers → tables, tests, sentences.

From records, one a problem and sample:
finished.py            which evaluations are finished
results.py             load them; accuracy of a run, step and benchmark
slices.py              parts of benchmarks, pass@k
majority.py            majority@k
replicates.py          runs that differ in their seed: their spread, and differences beyond it
pairing.py             any two checkpoints, to be compared as a run and its base are
loops.py               answers that end in a loop, and the tokens that this takes
flips.py               answers that changed sides between the base student and a checkpoint
paired.py              changes from the base student, problem by problem
change_parts.py        a change split by what became of the answers, in points that add up
diagnosis.py           what a change is: length, format, skill; what another grader says
change_words.py        that for reading: sentences and a table
teacher_comparison.py  teacher against teacher on the same problems, by runs
grid.py                runs that differ in a setting, such as the learning rate
grid_choice.py         the best setting, and what choosing it costs
grid_effects.py        what of a difference is the teacher's, and what the setting's
variation.py           how much answers vary: correlations, spread between seeds
selection.py           the best checkpoint, by the study's rule or by a half of the problems
selection_bias.py      what choosing the best checkpoint on the test set is worth

From percentages, published or ours:
tidy.py                our runs in the columns of the published numbers; best checkpoints
baseline_changes.py    changes from the base student, and the forgetting matrix
published/             the published study: its numbers, its claims, its findings

For both:
comparability.py       whether the results in one table were made alike, by their provenance
stats.py               intervals, tests, power
sample_size.py         problems, samples and seeds that a new study would need
families.py            which comparisons are corrected together
margins.py             gain, loss, equivalent or inconclusive, by a stated margin
params.py              the parameters of analyze.ipynb and published.ipynb
names.py               names of columns, students, teachers and benchmarks
"""
