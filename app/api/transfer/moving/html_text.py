"""HTML as plain text.

Python's html.parser is not used: it takes quadratic time for tags that are never closed.
"""

import re
from html import unescape
from typing import Final

RAW: Final = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in ("script", "style", "title")
}
"""The ends of elements that contain no tags, and nothing that is shown."""
LINES: Final = {
    *("address", "article", "dd", "div", "dl", "dt", "fieldset", "footer", "form", "header"),
    *("li", "main", "nav", "ol", "section", "tr", "ul"),
}
PARAGRAPHS: Final = {"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "pre", "table"}
LISTS: Final = {"ol", "ul"}
CELLS: Final = {"td", "th"}

DEEPEST_INDENT: Final = 5
"""Levels of lists that are indented, so that the text is never much longer than the HTML."""

TAG: Final = re.compile(
    r"""<(/?)([A-Za-z][^\s/>]*+)((?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+')|=)*+)>"""
)
"""A tag, whose quoted attributes may contain `>`."""
MARKUP: Final = re.compile("<(?:(/?[A-Za-z])|[!?])")
"""Where a tag or a declaration begins; any other `<` is text."""

ATTRIBUTE: Final = re.compile(
    r"""(?<![^\s"'/])([^\s"'/>=]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))"""
)
SPACE: Final = re.compile(r"[ \t\r\n\f]+")
LONG_NUMBER: Final = re.compile(r"&#([0-9]{8,})")
NOT_LINKED: Final = ("data:", "javascript:", "vbscript:")


def text_of(html: str) -> str:
    """Return the visible text of HTML in time linear in its length, whatever it contains.

    Paragraphs are apart by an empty line, items of lists begin with `- `, links are `text (url)`.
    A tag that is never closed is text, with all that is behind it.
    """
    text, start = _Text(), 0
    while found := MARKUP.search(html, start):
        at = found.start()
        text.add(html[start:at])
        if not found[1]:
            start = _end_of_declaration(html, at)
        elif tag := TAG.match(html, at):
            start = _after(html, tag, text)
        else:
            start = at
            break
    text.add(html[start:])
    return text.finished()


def _after(html: str, tag: re.Match[str], text: "_Text") -> int:
    """Take a tag, and return where its text goes on: behind an element that is not shown."""
    name = tag[2].lower()
    if name in RAW and not tag[1]:
        end = RAW[name].search(html, tag.end())
        return end.start() if end else len(html)
    text.tag(name, tag[3], ends=bool(tag[1]))
    return tag.end()


def _end_of_declaration(html: str, at: int) -> int:
    """Where a comment, declaration or processing instruction ends; one never closed has no end."""
    mark = "-->" if html.startswith("<!--", at) else ">"
    end = html.find(mark, at + 2)
    return len(html) if end < 0 else end + len(mark)


class _Text:
    """Collects text. Nothing recurses, and only depths are counted."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.breaks = 0
        """Line feeds before the next text."""
        self.marker = ""
        """What the next text of an item begins with."""
        self.is_spaced = True
        """Whether the next text needs no space before it."""
        self.lists = self.preformatted = 0
        self.link: tuple[str, int] | None = None
        """The open link: its address, and the number of pieces before its text."""

    def add(self, html: str) -> None:
        """Take text, whose white space counts as one space outside of `pre`."""
        text = unescape(_with_short_numbers(html))
        if self.preformatted:
            text = text.replace("\r\n", "\n")
        else:
            text = SPACE.sub(" ", text)
            if text.startswith(" ") and (self.is_spaced or self.breaks):
                text = text[1:]
        if text:
            self._write(text)

    def tag(self, name: str, attributes: str, ends: bool) -> None:
        """Begin or end an element, in any order."""
        if name in LINES or (self.lists and name in PARAGRAPHS):
            self.breaks = max(self.breaks, 1)
        elif name in PARAGRAPHS:
            self.breaks = 2
        if name in CELLS:
            self.add(" ")
        elif name in LISTS:
            self.lists = max(self.lists + (-1 if ends else 1), 0)
        elif name == "pre":
            self.preformatted = max(self.preformatted + (-1 if ends else 1), 0)
        elif name == "a":
            self._end_link()
        if not ends:
            self._begin(name, attributes)

    def finished(self) -> str:
        """Return the text, without spaces at the ends of lines."""
        self._end_link()
        lines = "".join(self.pieces).replace("\xa0", " ").split("\n")
        return "\n".join(line.rstrip() for line in lines).strip("\n")

    def _begin(self, name: str, attributes: str) -> None:
        if name == "br":
            self.breaks = min(self.breaks + 1, 2)
        elif name == "li":
            self.marker = "  " * (min(self.lists, DEEPEST_INDENT) - 1) + "- "
        elif name == "a":
            self.link = (_address(attributes, "href"), len(self.pieces))
        elif name == "img":
            self._image(attributes)

    def _write(self, text: str) -> None:
        if self.pieces and self.breaks:
            self.pieces.append("\n" * self.breaks)
        self.pieces += [self.marker, text]
        self.breaks, self.marker = 0, ""
        self.is_spaced = text[-1:] in (" ", "\n")

    def _image(self, attributes: str) -> None:
        """Write the text of an image, and its address if others can reach that."""
        address = _address(attributes, "src")
        is_public = address.startswith(("http:", "https:"))
        text = _linked(_attribute(attributes, "alt"), address if is_public else "")
        if text:
            self._write(text)

    def _end_link(self) -> None:
        """Write the address of the open link behind its text."""
        if self.link is None:
            return
        (address, start), self.link = self.link, None
        text = "".join(self.pieces[start:]).strip()
        if not text and address:
            self._write(address)
        elif _linked(text, address) != text:
            last = self.pieces[-1].rstrip()
            space, self.pieces[-1] = self.pieces[-1][len(last) :], last
            self.pieces.append(f" ({address}){space}")


def _with_short_numbers(html: str) -> str:
    """HTML whose numeric references can be converted: Python refuses integers of 4,301 digits."""
    return LONG_NUMBER.sub(lambda found: "&#" + (found[1].lstrip("0")[:8] or "0"), html)


def _attribute(attributes: str, name: str) -> str:
    """The value of the first attribute of that name, on one line."""
    for found in ATTRIBUTE.finditer(attributes):
        if found[1].lower() == name:
            value = next(filter(None, found.groups()[1:]), "")
            return " ".join(unescape(_with_short_numbers(value)).split())
    return ""


def _address(attributes: str, name: str) -> str:
    """The address that an element names; none for scripts and embedded data."""
    address = _attribute(attributes, name).replace(" ", "")
    return "" if address.lower().startswith(NOT_LINKED) else address


def _linked(text: str, address: str) -> str:
    """The text with the address behind it, unless it says the same."""
    bare = address.partition("//")[2].rstrip("/")
    if not address or text.rstrip("/") in (address.rstrip("/"), bare):
        return text
    if text == address.removeprefix("mailto:"):
        return text
    return f"{text} ({address})" if text else address
