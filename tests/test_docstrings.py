"""What the docstrings say of the arguments is what the signatures have."""

import ast
import importlib
import inspect
import pkgutil
import re

import pytest

import kmodels


def public_things():
    for module in pkgutil.walk_packages(kmodels.__path__, "kmodels."):
        if any(part.startswith("_") for part in module.name.split(".")):
            continue
        loaded = importlib.import_module(module.name)
        for name, thing in vars(loaded).items():
            named = inspect.isfunction(thing) or inspect.isclass(thing)
            if name.startswith("_") or not named or thing.__module__ != module.name:
                continue
            yield f"{module.name}.{name}", thing
            if inspect.isclass(thing):
                for method_name, method in vars(thing).items():
                    method = method.__func__ if isinstance(method, classmethod | staticmethod) else method
                    if not method_name.startswith("_") and inspect.isfunction(method):
                        yield f"{module.name}.{name}.{method_name}", method


THINGS = dict(public_things())


def documented_arguments(docstring: str) -> dict[str, str]:
    """Name -> text of each argument under "Args:", joined to one line."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(docstring), re.M | re.S)
    if section is None:
        return {}
    entries = re.findall(r"^    (\*{0,2}\w+): (.*?)(?=^    \S|\Z)", section[1], re.M | re.S)
    return {name: " ".join(text.split()) for name, text in entries}


def documented_default(text: str) -> str | None:
    found = re.search(r"\bDefault (\"[^\"]*\"|\([^)]*\)|[^\s,]+?)(?=[,.;)]?(?:\s|$))", text)
    return found and found[1]


def disagreements(thing) -> list[str]:
    documented = documented_arguments(thing.__doc__ or "")
    if not documented:
        return []
    parameters = inspect.signature(thing).parameters
    wrong = []
    for name, text in documented.items():
        if name.lstrip("*") not in parameters:
            wrong.append(f"{name} is not an argument")
            continue
        default, told = parameters[name.lstrip("*")].default, documented_default(text)
        if told is None:
            # None and False may go without saying where the text says what happens; anything else is a number to know.
            continue
        if default is inspect.Parameter.empty:
            wrong.append(f"{name} has no default; the docstring says {told}")
        elif ast.literal_eval(told) != default:
            wrong.append(f"{name} is {default!r}; the docstring says {told}")
    undocumented = {name for name in parameters if name not in ("self", "cls")} - {n.lstrip("*") for n in documented}
    return wrong + [f"{name} is not documented" for name in sorted(undocumented)]


def test_there_is_something_to_check():
    assert len(THINGS) > 60
    told = [
        documented_default(text)
        for thing in THINGS.values()
        for text in documented_arguments(thing.__doc__ or "").values()
    ]
    assert sum(default is not None for default in told) > 60


@pytest.mark.parametrize("name", THINGS)
def test_it_has_a_docstring(name):
    # inspect.getdoc would also take the docstring of a parent.
    assert (THINGS[name].__doc__ or "").strip(), f"{name} has no docstring"
    assert not THINGS[name].__doc__.startswith(f"{name.rsplit('.', 1)[-1]}("), (
        f"{name} has only a dataclass's signature"
    )


@pytest.mark.parametrize("name", THINGS)
def test_documented_defaults_are_those_of_the_signature(name):
    assert disagreements(THINGS[name]) == []


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("Width of p. Default 32.", "32"),
        ("Weight. Default 1e-4.", "1e-4"),
        ('Name. Default "val_rmse".', '"val_rmse"'),
        ("Widths. Default (128, 64).", "(128, 64)"),
        ("Shuffles. Default False, as ever.", "False"),
        ("Nothing said.", None),
    ],
)
def test_defaults_are_read(text, default):
    assert documented_default(text) == default


def test_a_wrong_docstring_is_found():
    def function(a, *, width=32, names=()):
        """Does nothing.

        Args:
            a: Something. Default 1.
            width: Of it, over
                two lines. Default 33.
            gone: No more.

        Returns:
            Nothing.
        """

    assert disagreements(function) == [
        "a has no default; the docstring says 1",
        "width is 32; the docstring says 33",
        "gone is not an argument",
        "names is not documented",
    ]
