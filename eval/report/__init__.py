"""What runs say: tables, plots, a page for every failure, and the rows of eval/README.md.

``python -m eval.report RUN_DIR [RUN_DIR...] --out DIR`` reads the records of `eval.run_qa` and
`eval.run_retrieval`; the same records give the same bytes.
"""
