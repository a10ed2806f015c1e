"""The paper's tables in miniature: `mini-vl` on the held-out split of the synthetic world.

``python -m eval.paper.train`` trains what is compared, ``python -m eval.paper`` compares it and
writes ``eval/results``. The retrievers are those of `eval.arms`; clips are encoded once for each
file of weights and each way of reading them.
"""
