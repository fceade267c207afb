"""XML from its first byte to its last: elements as they close, nothing kept of them. Entities and DTDs are refused.

expat holds one token and one path, so both are bounded; of names and attributes no more may be different than any flow has.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from fleet.codecs.files.reading import Content, Found, Unreadable
from fleet.file_limits import FILE_CHUNK_BYTES, FILE_LINE_CHARS_MAX

_DEPTH_MAX: Final = 32  # R64's deepest is 9
_NAMES_MAX: Final = 500  # of elements and attributes; a flow has about 40
_SILENT_BYTES_MAX: Final = 4 * FILE_CHUNK_BYTES  # without an element: one token that does not end


class Walker:
    """What a flow makes of its elements: `closed` is overridden, `told` is what it found.

    path: names of the open elements, the innermost last.
    """

    def __init__(self) -> None:
        self.path: Final[list[str]] = []
        self.told: Final[list[Found]] = []
        self.line_of: Callable[[], int] = lambda: 0
        self.elements = 0
        self._attributes: list[str] = []  # of the element that closes: name, value, name, value
        self._local: Final[dict[str, str]] = {}
        self._seen: Final[set[str]] = set()
        self._held: Final[list[list[str]]] = []
        self._text = ""

    def closed(self, name: str, text: str) -> None:
        """An element ends. text: what stood directly before its end, without blanks around it."""

    def rest(self) -> Iterator[Found]:
        """When the file has ended."""
        yield from ()

    def attributes(self) -> dict[str, str]:
        """Of the element that closes."""
        return dict(zip(self._attributes[::2], self._attributes[1::2], strict=True))

    # What expat calls

    def start(self, tag: str, attributes: list[str]) -> None:
        name = self._local.get(tag)
        if name is None:
            name = self._local[tag] = tag.rpartition("}")[2]
            self._see([tag])
        if attributes:
            self._see(attributes[::2])
        if len(self.path) >= _DEPTH_MAX:
            raise Unreadable("bad_xml", self.line_of())
        self.path.append(name)
        self._held.append(attributes)
        self.elements += 1
        self._text = ""

    def data(self, text: str) -> None:
        if len(self._text) <= FILE_LINE_CHARS_MAX:
            self._text += text

    def end(self, _tag: str) -> None:
        text = self._text
        if text:
            text, self._text = text.strip(), ""
        self._attributes = self._held.pop()
        self.closed(self.path.pop(), text)

    def _see(self, names: list[str]) -> None:
        self._seen.update(names)
        if len(self._seen) > _NAMES_MAX:
            raise Unreadable("bad_xml", self.line_of())


def walk(content: Content, walker: Walker) -> Iterator[Found]:
    """Raises Unreadable (bad_xml, xml_entities, line_too_long), and what the walker raises."""
    parser: Final = DefusedXMLParser(target=walker, forbid_dtd=True)
    expat: Final = parser.parser
    # Straight from expat, which tells attributes as a list: ElementTree would make a dict of each
    expat.StartElementHandler, expat.EndElementHandler = walker.start, walker.end
    walker.line_of = lambda: int(expat.CurrentLineNumber)
    silent = 0
    try:
        for chunk in _without_leading_blanks(content.chunks()):
            before = walker.elements
            parser.feed(chunk)
            silent = 0 if walker.elements > before else silent + len(chunk)
            if silent > _SILENT_BYTES_MAX:
                raise Unreadable("line_too_long", walker.line_of(), chars_max=str(FILE_LINE_CHARS_MAX))
            yield from walker.told
            walker.told.clear()
        parser.close()
    except DefusedXmlException:
        raise Unreadable("xml_entities", walker.line_of()) from None
    except (ParseError, LookupError, ValueError):
        raise Unreadable("bad_xml", walker.line_of()) from None
    yield from walker.told
    yield from walker.rest()


def _without_leading_blanks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """An XML declaration has to be the first thing of a file, and not everybody who saves one leaves it there."""
    for chunk in chunks:
        if told := chunk.lstrip():
            yield told
            break
    yield from chunks


def root_is(*names: str) -> Callable[[bytes], bool]:
    """Recognises files by their outermost element, whatever its namespace."""
    pattern: Final = re.compile(
        rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--(?:(?!-->).){0,2000}-->\s*)?<(?:[A-Za-z_][\w.-]{0,40}:)?(?:"
        + "|".join(names).encode()
        + rb")[\s/>]",
        re.DOTALL,
    )
    return lambda head: pattern.match(head) is not None
