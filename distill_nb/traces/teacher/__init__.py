"""The API teacher: asked with an estimate first, nothing paid for twice, every response verified.

settings.py    how it is asked
generation.py  estimate, then generate
work.py        the problems and their answers: what is to be sent, and what it costs at most
send.py        requests: waited with while the API fails, stopped where none can succeed
failures.py    what a failure concerns: the account, the server, or this request alone
batches.py     Message Batches: sent, found again after a crash, read
anthropic.py   Claude's APIs
openai.py      OpenAI-compatible APIs, such as vLLM's
store.py       what is on disk of it, so that nothing is paid for twice
clients.py     several processes that ask, each with a store of its own
records.py     its requests and answers, as lines and in memory
verify.py      which responses are worth training on
costs.py       what it costs: papermill_params/prices.yaml
retired.py     models that are served no more, and the nearest to them
audit.py       what came of it, in one table
"""
