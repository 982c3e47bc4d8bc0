"""Training: supervised fine-tuning of a student on traces, with LoRA.

train.py      train a run, go on with an interrupted one, read what it logged
data.py       the encoded examples of a run, in the order of training
step.py       one optimiser step: packed micro-batches, the loss, the Trainer
callbacks.py  what is written while a run trains: metrics, held-out losses, checkpoints
times.py      what a run's time went to beside its steps
resume.py     what an earlier start of a run left, and how far it came
parallel.py   several processes that share each batch
worker.py     one of those processes
sharding.py   a student that is divided among them
"""
