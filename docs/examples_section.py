"""Lets the API pages show a docstring's `Example:` as code.

The parser of Google docstrings knows the section `Examples:` alone, and would set `>>>` as nested quotations.
"""

import re
from typing import Any

import griffe


class ExamplesSection(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
