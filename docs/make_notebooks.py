"""Makes the notebooks of `docs/notebooks/` from the pages of the documentation: python docs/make_notebooks.py.

A notebook is a page, whose Python blocks become cells, between a cell that installs kmodels and cells that run the
recipe and show its report. `.ci/run_examples.py` runs the blocks as they stand in the pages, `.ci/run_notebooks.py`
whole notebooks, and a test compares the files with what this makes. Needs the extra `notebooks`.
"""

import re
import tomllib
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

DOCS = Path(__file__).parent
FOLDER = DOCS / "notebooks"
# Notebook -> page, the recipe's flags, its backend (the fastest on a CPU).
NOTEBOOKS = {
    "your_data": ("your_data", "tabular --data adult.csv --target income --out runs/adult", "jax"),
    "tabular": ("tables", "tabular", "jax"),
    "movielens": ("index", "movielens", "jax"),
    "poi_engagement": ("poi_engagement", "poi_engagement", "torch"),
    "purchases": ("purchases", "purchases", "jax"),
    "matrix_factorization": ("matrix_factorization", "matrix_factorization", "jax"),
    "movie_profit": ("movie_profit", "movie_profit", "jax"),
    "fashion_mnist": ("fashion_mnist", "fashion_mnist", "torch"),
}
SKIPPED = re.compile(r"^## (?:Install and run|Notebooks)\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?!https?:|#)[^)]+")
BLOCK = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
INSTALL = """\
import importlib.util
import os

os.environ.setdefault("KERAS_BACKEND", "{backend}")
if importlib.util.find_spec("kmodels") is None:
    %pip install --quiet "kmodels[{backend},explain] @ git+{repository}\""""
SHOW = """\
from html import escape
from pathlib import Path

from IPython.display import HTML

page = escape(Path("{folder}/report.html").read_text(encoding="utf-8"))
HTML(f'<div><iframe srcdoc="{{page}}" width="100%" height="800" style="border: 0"></iframe></div>')"""


def repository() -> str:
    """Where the sources are published: `[project.urls]` of pyproject.toml; until there is one, a stand-in."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "https://github.com/OWNER/kmodels")


def make(name: str) -> NotebookNode:
    """A notebook, without outputs."""
    page, flags, backend = NOTEBOOKS[name]
    text = SKIPPED.sub("", (DOCS / f"{page}.md").read_text(encoding="utf-8"))
    # Links are from this folder, which is one further down.
    text = LINK.sub(r"../\g<0>", text)
    published = repository().removesuffix(".git")
    address = published.replace("https://github.com", "https://colab.research.google.com/github", 1)
    badge = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    # The first cell installs: it stands above the text, as what is below needs it.
    cells = [v4.new_code_cell(INSTALL.format(backend=backend, repository=published))]
    cells.append(v4.new_markdown_cell(f"{badge}({address}/blob/main/docs/notebooks/{name}.ipynb)"))
    for i, part in enumerate(BLOCK.split(text)):
        if i % 2:
            cells.append(v4.new_code_cell(part.strip()))
        else:
            sections = re.split(r"^(?=## )", part, flags=re.MULTILINE)
            cells += [v4.new_markdown_cell(section.strip()) for section in sections if section.strip()]
    out = flags.partition("--out ")[2] or f"runs/{flags.split()[0]}"
    cells.append(v4.new_markdown_cell("## Run the recipe\n\nOn two CPU cores it takes a minute or two."))
    cells.append(v4.new_code_cell(f"!kmodels run {flags}"))
    cells.append(v4.new_code_cell(SHOW.format(folder=out)))
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def written(name: str) -> str:
    """A notebook's file."""
    return nbformat.writes(make(name)) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in NOTEBOOKS:
        (FOLDER / f"{name}.ipynb").write_text(written(name), encoding="utf-8")
