"""Read a report again, with nothing but the parser of the standard library."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """The tags, the texts per section, and the tables of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts, self.tables = [], [], {}, {}
        self.feed(text)
        self.close()
        assert self.open == []

    @property
    def section(self):
        ids = [a.get("id") for tag, a in self.open if tag == "section"]
        return ids[-1] if ids else ""

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names)
        self.tags.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self.open.append((tag, dict(attrs)))
        if tag == "tr":
            self.row = []
        if tag in ("td", "th", "caption"):
            self.cell = ""

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        if tag == "caption":
            self.caption = self.cell.strip()
            self.tables[self.caption] = []
        if tag in ("td", "th"):
            self.row.append(self.cell.strip())
        if tag == "tr":
            self.tables[self.caption].append(self.row)

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "style":
            return
        self.cell = getattr(self, "cell", "") + data
        self.texts[self.section] = self.texts.get(self.section, "") + data
