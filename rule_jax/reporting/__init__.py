"""From what runs left in their folders to figures that can be checked and pages that can be read. Imports no jax.

`data` reads a workdir and documents its files and the schema of metrics.json; `answers` looks at what was said;
`figures` gives numbers their intervals, `vocabulary` their names; `verdict` judges; `plane` places models between
forgetting and retaining, `published` in the tables of papers; `alarms` looks at the history of training; `plots` draws.
`page` makes the page of one run, `comparison` and `comparison_page` that of many, from the HTML templates beside them.
`audit` keeps and checks the record of an erasure.
"""
