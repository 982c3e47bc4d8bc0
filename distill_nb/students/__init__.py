"""Students: their sources, chat templates, loading and adapters.

sources.py          where a student comes from (hub, folder, PyPI, tiny), and whether it can be had
chat.py             one explicit chat template per student; token ids and loss mask
generation.py       what a student's own files say on generation, of which nothing is used
student.py          load a student, attach LoRA, merge in memory
targets.py          whether the layers of lora_targets can get an adapter
embeddings.py       the embedding and the head: one tensor or two, and adapters on them
merge.py            write a student with an adapter merged into its weights
weights.py          safetensors files, read and written tensor by tensor
adapters.py         adapters on disk, and those trained elsewhere
experts.py          adapters on a mixture of experts: their rank, and the layout that vLLM loads
integrity.py        whether files are whole, and were loaded whole
check_student.py    whether a student is whole: config, weights, tokenizer
check_tokenizer.py  whether its tokenizer has what the chat template and any text need
check_adapter.py    whether an adapter is whole, and fits the student
adapter_settings.py whether all that its config says is applied exactly
base_model.py       whether an adapter was trained on the student, by its base model's name
proof.py            what the trainer writes so that an engine can be proved to apply the adapter
"""
