"""The tables of docs/performance.md; `__main__.py` is the program, one module a table."""
