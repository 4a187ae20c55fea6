"""From what runs left in their folders to figures that can be checked and a page that can be read. Imports no jax.

`data` reads a workdir and documents its files and the schema of metrics.json, `verdict` judges, `plots` draws, `alarms`
looks at the history of training, `page` puts them into the template `report.html`.
"""
