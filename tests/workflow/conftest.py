"""The file of a recipe whose page and card are a few words."""

import pytest

PAGE = """{% extends "report.html.j2" %}
{% block title %}Line{% endblock %}
{% block sections %}{{ words }}{% endblock %}
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "line.html.j2").write_text(PAGE)
    (tmp_path / "pages" / "line.card.md.j2").write_text('{% extends "model_card.md.j2" %}')
    return tmp_path / "line.py"
