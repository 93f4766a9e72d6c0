"""Damage to files: bytes, fields, lines, quotes, line ends and encodings, as a seeded generator chooses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rng = np.random.Generator

#: What a field may hold that looks like something else, or like nothing.
FIELDS = (
    b"",
    b" ",
    b"\xc2\xa0",
    b"nan",
    b"NaN",
    b"NA",
    b"None",
    b"null",
    b"inf",
    b"-inf",
    b"Infinity",
    b"1e400",
    b"1e-400",
    b"1e5",
    b"1E+2",
    b"0x10",
    b"1_000",
    b"1,000",
    b'"1,000"',
    b"+5",
    b"-5",
    b"-0",
    b"0",
    b"007",
    b"3.0",
    b"3.",
    b".5",
    b"5.5",
    b"0.1",
    b"4.35",
    b"1.0000000000000001",
    b"0.30000000000000004",
    b"123456.789012345678",
    b"9007199254740993",
    b"99999999999999999999",
    b"1" * 400,
    b"0." + b"0" * 400 + b"1",
    b"1e999999999",
    "١٢".encode(),
    "９".encode(),
    "²".encode(),
    "é".encode(),
    b"\xe9",
    "\u2028".encode(),
    "\x85".encode(),
    b"\xed\xa0\x80",
    b"\\ud800",
    b"True",
    b"=1+1",
    b"$5_$10",
    b"<b>",
    b"oak, 4m",
    b'"oak, 4m"',
    b' "oak, 4m"',
    b'2", 4" board',
    b'"a""b"',
    b'"a" b',
    b'"two\nlines"',
    b'"',
    b"'",
    b"\\",
    b"\\N",
    b"[]",
    b"['a', 'b']",
    b"\"['a', 'b']\"",
    b'[{"name": "a"}]',
    b"[" * 500,
    b"__import__('os').getcwd()",
    b"Action|Drama",
    b"(no genres listed)",
    b"2020-02-30",
    b"2020-01-31",
    b"2020-01-31T12:00:00.750+02:00",
    b"12/31/99",
    b"1260759144000",
    b"1260759144.5",
    b"x" * 3000,
)
#: Bytes that mean something to a reader of text.
BYTES = (
    *(bytes([value]) for value in b"\0\t\n\r\x1a\x1c\x1f ,;:|\"'\\[]{}()-+.0123456789eEnNaAxXfF\x80\xa0\xbf\xc3\xff"),
    b"\xef\xbb\xbf",
    b"\r\n",
    b"::",
)
_SEPARATORS = (b"::", b"\t", b",", b";", b"|")


def mutate(content: bytes, rng: Rng, *, text: bool = True) -> bytes:
    """The content after one to three changes, mostly one."""
    kinds = _OF_BYTES + (_OF_TEXT if text else ())
    for _ in range(int(rng.choice(3, p=(0.7, 0.2, 0.1))) + 1):
        content = kinds[rng.integers(len(kinds))](content, rng)
    return content


def _place(content: bytes, rng: Rng) -> int:
    return int(rng.integers(len(content) + 1))


def _flip(content: bytes, rng: Rng) -> bytes:
    if not content:
        return content
    at = int(rng.integers(len(content)))
    return content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :]


def _insert(content: bytes, rng: Rng) -> bytes:
    at = _place(content, rng)
    return content[:at] + BYTES[rng.integers(len(BYTES))] + content[at:]


def _replace(content: bytes, rng: Rng) -> bytes:
    at = _place(content, rng)
    return content[:at] + BYTES[rng.integers(len(BYTES))] + content[at + 1 :]


def _delete(content: bytes, rng: Rng) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + int(rng.integers(1, 9)) :]


def _cut(content: bytes, rng: Rng) -> bytes:
    return content[: _place(content, rng)]


def _repeat(content: bytes, rng: Rng) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[max(0, at - int(rng.integers(1, 60))) :]


def _noise(content: bytes, rng: Rng) -> bytes:
    at = _place(content, rng)
    return content[:at] + rng.bytes(int(rng.integers(1, 9))) + content[at:]


def _separator(content: bytes) -> bytes:
    head = content.split(b"\n", 1)[0]
    return max(_SEPARATORS, key=lambda each: head.count(each) * len(each))


def _on_a_line(change: Callable[[list[bytes], bytes, Rng], list[bytes]]) -> Callable[[bytes, Rng], bytes]:
    """A change of the fields of one line."""

    def changed(content: bytes, rng: Rng) -> bytes:
        lines, mark = content.split(b"\n"), _separator(content)
        at = int(rng.integers(len(lines)))
        lines[at] = mark.join(change(lines[at].split(mark), mark, rng))
        return b"\n".join(lines)

    return changed


def _field(fields: list[bytes], mark: bytes, rng: Rng) -> list[bytes]:
    fields[rng.integers(len(fields))] = FIELDS[rng.integers(len(FIELDS))]
    return fields


def _longer(fields: list[bytes], mark: bytes, rng: Rng) -> list[bytes]:
    at = int(rng.integers(len(fields)))
    fields[at] += (b" ", b".0", b"0", b"x", b"e", b'"', b"\xc3\xa9")[rng.integers(7)]
    return fields


def _fewer(fields: list[bytes], mark: bytes, rng: Rng) -> list[bytes]:
    del fields[int(rng.integers(len(fields)))]
    return fields


def _more(fields: list[bytes], mark: bytes, rng: Rng) -> list[bytes]:
    fields.insert(int(rng.integers(len(fields) + 1)), b"5")
    return fields


def _quoted(fields: list[bytes], mark: bytes, rng: Rng) -> list[bytes]:
    at = int(rng.integers(len(fields)))
    fields[at] = b'"' + fields[at] + b'"'
    return fields


def _padded(fields: list[bytes], mark: bytes, rng: Rng) -> list[bytes]:
    return [b" " + field for field in fields]


def _same_line(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    lines.insert(int(rng.integers(len(lines))), lines[rng.integers(len(lines))])
    return b"\n".join(lines)


def _other_order(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join(lines[i] for i in rng.permutation(len(lines)))


def _blank_line(content: bytes, rng: Rng) -> bytes:
    lines = content.split(b"\n")
    lines.insert(int(rng.integers(len(lines) + 1)), (b"", b" ", b"\r", b"#")[rng.integers(4)])
    return b"\n".join(lines)


def _line_ends(content: bytes, rng: Rng) -> bytes:
    ends = (b"\r\n", b"\r", b"\n\n", b"\n\r")[rng.integers(4)]
    if rng.random() < 0.5:
        return content.replace(b"\n", ends)
    at = content.find(b"\n", _place(content, rng))
    return content if at < 0 else content[:at] + ends + content[at + 1 :]


def _last_line_open(content: bytes, rng: Rng) -> bytes:
    return content.removesuffix(b"\n")


def _encoding(content: bytes, rng: Rng) -> bytes:
    text = content.decode("utf-8", "replace")
    name = ("utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252", "cp437")[rng.integers(6)]
    return text.encode(name, "replace")


def _other_separator(content: bytes, rng: Rng) -> bytes:
    return content.replace(_separator(content), _SEPARATORS[rng.integers(len(_SEPARATORS))])


def _case(content: bytes, rng: Rng) -> bytes:
    head, _, rest = content.partition(b"\n")
    return (head.upper() if rng.random() < 0.5 else head.lower()) + b"\n" + rest


_OF_BYTES = (_flip, _flip, _insert, _replace, _delete, _cut, _repeat, _noise)
_OF_TEXT = (
    *([_on_a_line(_field)] * 9),
    *(_on_a_line(change) for change in (_longer, _longer, _fewer, _more, _quoted, _padded)),
    _same_line,
    _other_order,
    _blank_line,
    _line_ends,
    _last_line_open,
    _encoding,
    _other_separator,
    _case,
)
