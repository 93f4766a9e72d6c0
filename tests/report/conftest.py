from html.parser import HTMLParser

import pytest

VOID = {"meta", "link", "img", "wbr", "br"}


class Page(HTMLParser):
    """Reads a page as a browser does: addresses, tables, text; complains about tags that do not close."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.addresses, self.images, self.ids, self.text = [], [], [], [], []
        self.tables, self.tags, self.bold = [], set(), set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [found[name] for name in ("src", "href", "action", "data", "srcset") if name in found]
        if tag == "img":
            self.images.append(found)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "table":
            self.tables.append({"caption": "", "rows": [], "exact": []})
        if tag == "tr":
            self.tables[-1]["rows"].append([])
        if tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")
        if tag == "td" and found.get("class") == "best":
            row = self.tables[-1]["rows"][-1]
            self.bold.add((self.tables[-1]["caption"], row[0], len(row) - 1))
        if tag == "data" and "table" in self.open:
            self.tables[-1]["exact"].append(float(found["value"]))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text.append(data)
        if "caption" in self.open:
            self.tables[-1]["caption"] += data
        elif "td" in self.open or "th" in self.open:
            self.tables[-1]["rows"][-1][-1] += data

    def words(self):
        return " ".join(" ".join(self.text).split())

    def table(self, caption):
        (found,) = [table for table in self.tables if table["caption"] == caption]
        return found["rows"]


@pytest.fixture(scope="session")
def parse():
    """What reads a page's text as a browser does."""
    return Page
