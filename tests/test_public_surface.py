"""What the rooms export is public: documented in full, few enough to know, and free of any task's words."""

import ast
import importlib
import inspect
import pkgutil
import re
import types
from pathlib import Path

import pytest

import kmodels

PACKAGE = Path(kmodels.__file__).parent
# They serve the other rooms; what `backend` does is described in docs/architecture.md.
INTERNAL = {"backend", "checks", "files", "folders"}
MOST_EXPORTS = 180


def exported_names(module):
    named = [name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    return getattr(module, "__all__", [name for name in named if not name.startswith("_")])


def exports():
    """Qualified name -> thing, for all that a room exports; a module among the exports stands for its own."""
    found = {}
    for room in pkgutil.iter_modules(kmodels.__path__):
        if room.name in INTERNAL or room.name.startswith("_"):
            continue
        waiting = [importlib.import_module(f"kmodels.{room.name}")]
        while waiting:
            module = waiting.pop()
            for name in exported_names(module):
                thing = getattr(module, name)
                if isinstance(thing, types.ModuleType):
                    waiting.append(thing)
                else:
                    found[f"{module.__name__}.{name}"] = thing
    return found


EXPORTS = exports()
CALLABLES = {name: thing for name, thing in EXPORTS.items() if inspect.isfunction(thing) or inspect.isclass(thing)}


def documented_arguments(docstring: str) -> dict[str, str]:
    """Name -> text of each argument under "Args:", joined to one line."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(docstring), re.M | re.S)
    if section is None:
        return {}
    entries = re.findall(r"^    (\*{0,2}\w+): (.*?)(?=^    \S|\Z)", section[1], re.M | re.S)
    return {name: " ".join(text.split()) for name, text in entries}


def documented_default(text: str) -> str | None:
    """The literal that follows "Default", if one does; a default may also be given in words, such as "none"."""
    found = re.search(r"\bDefault (\"[^\"]*\"|\([^)]*\)|[^\s,]+?)(?=[,.;:)]?(?:\s|$))", text)
    try:
        if found:
            ast.literal_eval(found[1])
        return found and found[1]
    except (ValueError, SyntaxError):
        return None


def disagreements(thing) -> list[str]:
    """Where a docstring's arguments are not those of the signature."""
    documented = documented_arguments(thing.__doc__ or "")
    if not documented:
        return []
    parameters = inspect.signature(thing).parameters
    wrong = []
    for name, text in documented.items():
        if name.lstrip("*") not in parameters:
            wrong.append(f"{name} is not an argument")
            continue
        default, said = parameters[name.lstrip("*")].default, documented_default(text)
        if said is None or "FACTORY" in type(default).__name__:
            # None and False may go unsaid where the text says what happens; a dataclass hides what a factory makes.
            continue
        if default is inspect.Parameter.empty:
            wrong.append(f"{name} has no default; the docstring says {said}")
        elif ast.literal_eval(said) != default:
            wrong.append(f"{name} is {default!r}; the docstring says {said}")
    undocumented = {name for name in parameters if name not in ("self", "cls")} - {n.lstrip("*") for n in documented}
    return wrong + [f"{name} is not documented" for name in sorted(undocumented)]


def test_there_is_something_to_check():
    assert len(CALLABLES) > 60
    texts = [text for thing in CALLABLES.values() for text in documented_arguments(thing.__doc__ or "").values()]
    assert sum(documented_default(text) is not None for text in texts) > 60


@pytest.mark.parametrize("name", CALLABLES)
def test_an_export_is_documented(name):
    thing = CALLABLES[name]
    docstring = thing.__doc__ or ""
    assert docstring.strip(), f"{name} has no docstring"
    assert not docstring.startswith(f"{name.rsplit('.', 1)[-1]}("), f"{name} has only a dataclass's signature"
    assert disagreements(thing) == []


@pytest.mark.parametrize("name", [name for name, thing in CALLABLES.items() if inspect.isclass(thing)])
def test_the_methods_of_an_export_are_documented(name):
    for method_name, method in vars(CALLABLES[name]).items():
        method = method.__func__ if isinstance(method, classmethod | staticmethod) else method
        if not method_name.startswith("_") and inspect.isfunction(method):
            assert (method.__doc__ or "").strip(), f"{name}.{method_name} has no docstring"
            assert disagreements(method) == [], f"{name}.{method_name}"


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("Width of p. Default 32.", "32"),
        ("Weight. Default 1e-4.", "1e-4"),
        ('Name. Default "val_rmse".', '"val_rmse"'),
        ("Widths. Default (128, 64).", "(128, 64)"),
        ("Shuffles. Default False, as ever.", "False"),
        ("Cost: Default 3: of each.", "3"),
        ("Callbacks. Default none.", None),
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


def test_the_surface_is_small():
    assert len(EXPORTS) <= MOST_EXPORTS


# One task's words have no place in a library of all tasks.
TASK_WORD = re.compile(r"\b(films?|movies?|stars?|purchases?|garments?|places?|genres?)\b", re.IGNORECASE)
IDIOM = re.compile(r"\bin place\b|\bdecimal places\b|\btakes? (the|its|their)? ?place\b", re.IGNORECASE)
# Files that still have them; the list only shrinks.
NOT_YET: set[str] = set()


def files_with_task_words():
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE).as_posix()
        if path.suffix not in (".py", ".j2", ".html") or name.startswith("datasets/") or name == "models/presets.py":
            continue
        if TASK_WORD.search(IDIOM.sub("", path.read_text(encoding="utf-8"))):
            yield name


def test_the_library_names_no_task():
    assert set(files_with_task_words()) == NOT_YET


# Private names of the libraries that `docs/architecture.md` lists; only `backend` and `tuning` may use them.
PRIVATE_APIS = re.compile(
    r"keras\.src|keras_tuner\.(src|engine)|tensorflow\.python|jax\._src|torch\._|proxy_tensor"
    r"|\._(flatten_layers|keras_history|inbound_nodes|compute_loss|loss_tracker|make_function|trainable_variables)\b"
)


def test_private_apis_of_libraries_are_used_in_backend_and_tuning_alone():
    users = {
        path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py") if PRIVATE_APIS.search(path.read_text())
    }
    assert "backend" in users
    assert users <= {"backend", "tuning"}
