"""Students: where they come from, how they are asked, loaded and adapted, and the proof that an
adapter is applied.

sources.py   where a student comes from: hub, folder, PyPI, or a tiny random one; whether it can be
             had
chat.py      one explicit chat template per student; token ids and loss mask
student.py   load a student, attach LoRA, merge an adapter
adapters.py  adapters on disk, and those trained elsewhere
experts.py   adapters on a mixture of experts: their rank, and the layout that vLLM loads
proof.py     what the trainer leaves, so that an engine's adapter can be proved
"""
