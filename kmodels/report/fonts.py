"""Text in figures: drawn as it is, without markup, in an installed font that has its letters."""

from __future__ import annotations

import sys
import unicodedata
import warnings
from functools import cache

from matplotlib import font_manager
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter

from kmodels.errors import printable

_LONGEST = 60  # letters of a line, about as many as a figure is wide
_unknown: set[str] = set()  # letters that no installed font has; said of the first alone


class PlainFigure(Figure):
    """A figure whose texts are no mathtext, have no control characters and come from a font that has their letters."""

    def draw(self, renderer: RendererBase) -> None:
        """Draws all texts as they are, but for the powers at the ticks of logarithmic axes, which are Matplotlib's."""
        texts = set(self.findobj(Text))
        for axis in (axis for axes in self.axes for axis in (axes.xaxis, axes.yaxis)):
            labels = [label.get_text() for label in axis.get_ticklabels()]
            if isinstance(axis.get_major_formatter(), LogFormatter):
                texts.difference_update(axis.get_ticklabels(which="both"))
            elif (plain := list(map(_plain, labels))) != labels:  # an axis sets its labels anew
                axis.set_ticks(axis.get_ticklocs(), plain)
        for text in texts:
            text.set(parse_math=False, usetex=False, text=_plain(text.get_text()))
            own = _letters(font_manager.findfont(text.get_fontproperties()))
            missing = frozenset(letter for letter in text.get_text() if not letter.isspace()) - own
            if missing and (families := _families(missing)):
                text.set(fontfamily=[*text.get_fontfamily(), *families], fontweight="normal")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
            super().draw(renderer)


def _plain(text: str) -> str:
    return "\n".join(printable(line, _LONGEST) for line in text.split("\n"))


@cache
def _letters(path: str) -> frozenset[str]:
    """The letters of a font file; none of one that cannot be scaled."""
    try:
        font = font_manager.get_font(path)
        font.set_size(12, 72)
        return frozenset(map(chr, font.get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


@cache
def _families(missing: frozenset[str]) -> tuple[str, ...]:
    """Installed fonts that have these letters, as few as may be."""
    entries = [each for each in font_manager.fontManager.ttflist if each.style == "normal" and each.weight == 400]
    fonts = {each.name: _letters(each.fname) for each in entries if not each.name.startswith("Last Resort")}
    found: list[str] = []
    while missing:
        name = max(sorted(fonts), key=lambda name: (len(missing & fonts[name]), "Sans" in name), default="")
        if not (had := missing & fonts.get(name, frozenset())):
            if not _unknown:
                name = unicodedata.name(min(missing), "UNNAMED")
                print(f"warning: plots show boxes for letters that no installed font has: {name} …", file=sys.stderr)
            _unknown.update(missing)
            break
        found.append(name)
        missing -= had
    return tuple(found)
