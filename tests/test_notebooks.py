"""The notebooks: made from the pages as they are, without outputs, from installation to the report."""

import json
import runpy
from pathlib import Path

import pytest

pytest.importorskip("nbformat")
import nbformat

DOCS = Path(__file__).parents[1] / "docs"
MADE = runpy.run_path(str(DOCS / "make_notebooks.py"))
pytestmark = pytest.mark.first_backend


def test_there_is_one_for_each_recipe_and_one_on_own_data():
    recipes = {path.stem for path in (DOCS.parent / "recipes").glob("*.py")} - {"predict", "recommend"}
    assert {path.stem for path in (DOCS / "notebooks").iterdir()} == {*recipes, "your_data"}


@pytest.mark.parametrize("name", MADE["NOTEBOOKS"])
def test_a_notebook_is_what_the_generator_makes_of_its_page(name):
    path = DOCS / "notebooks" / f"{name}.ipynb"
    assert path.read_text(encoding="utf-8") == MADE["written"](name), "run: python docs/make_notebooks.py"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    cells = notebook["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert cells[0]["cell_type"] == "code"
    assert "%pip install" in code[0]
    assert "colab" in "".join(cells[1]["source"])
    assert code[-2].startswith("!kmodels run ")
    page = (DOCS / f"{MADE['NOTEBOOKS'][name][0]}.md").read_text(encoding="utf-8")
    assert code[1:-2] == [each.partition("```")[0].strip() for each in page.split("```python\n")[1:]]


@pytest.mark.parametrize("name", MADE["NOTEBOOKS"])
def test_links_lead_to_pages(name):
    for cell in MADE["make"](name).cells:
        if cell.cell_type == "markdown":
            for link in MADE["LINK"].findall(cell.source):
                assert (DOCS / "notebooks" / link.partition("#")[0]).exists(), link
