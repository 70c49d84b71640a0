"""What `format` means: the strings of each format that the standard names.

Where a format cannot be said exactly by a regular language, what is said is a part of it, so that
whatever is written is of the format: an internationalized label has letters of the common scripts
only, and a regular expression nests groups at most twice.
"""

from __future__ import annotations

from ...errors import OptionError
from .. import read_regex
from ..nodes import Alt, Both, Node, Not, Repeat, Seq, text
from ..regular import Regular
from .words import Spelling

_YEAR = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_MONTH_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
DATE = rf"(?:{_YEAR}-{_MONTH_DAY}|{_LEAP}-02-29)"
_ZONE = r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
TIME = rf"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,12}})?{_ZONE}"
_IN_TIME = r"T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_IN_DATE = r"(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
DURATION = rf"P(?:[0-9]+W|{_IN_DATE}(?:{_IN_TIME})?|{_IN_TIME})"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_GROUP = r"[0-9a-fA-F]{1,4}"
_LAST = rf"(?:{_GROUP}:{_GROUP}|{IPV4})"
IPV6 = "(?:" + "|".join([
    rf"(?:{_GROUP}:){{6}}{_LAST}", rf"::(?:{_GROUP}:){{5}}{_LAST}",
    rf"(?:{_GROUP})?::(?:{_GROUP}:){{4}}{_LAST}",
    *(rf"(?:(?:{_GROUP}:){{0,{n}}}{_GROUP})?::(?:{_GROUP}:){{{4 - n}}}{_LAST}" for n in (1, 2)),
    rf"(?:(?:{_GROUP}:){{0,3}}{_GROUP})?::{_GROUP}:{_LAST}",
    rf"(?:(?:{_GROUP}:){{0,4}}{_GROUP})?::{_LAST}",
    rf"(?:(?:{_GROUP}:){{0,5}}{_GROUP})?::{_GROUP}", rf"(?:(?:{_GROUP}:){{0,6}}{_GROUP})?::",
]) + ")"  # fmt: skip
_PERCENT = r"%[0-9A-Fa-f]{2}"
_OTHER = r"\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef\u{10000}-\u{1fffd}"


def _resource(more: str) -> tuple[str, str]:
    """URI and relative reference (RFC 3986), or with `more` characters IRI (RFC 3987)."""
    plain = rf"A-Za-z0-9._~!$&'()*+,;={more}\-"
    letter = rf"(?:[{plain}:@]|{_PERCENT})"
    names = rf"(?:[{plain}]|{_PERCENT})*"
    user = rf"(?:(?:[{plain}:]|{_PERCENT})*@)?"
    authority = rf"//{user}(?:\[{IPV6}\]|{names})(?::[0-9]*)?(?:/{letter}*)*"
    rooted = rf"/(?:{letter}+(?:/{letter}*)*)?"
    path = rf"{letter}+(?:/{letter}*)*"
    tail = rf"(?:\?(?:{letter}|[/?])*)?(?:#(?:{letter}|[/?])*)?"
    first = rf"(?:[{plain}@]|{_PERCENT})+(?:/{letter}*)*"
    absolute = rf"[A-Za-z][A-Za-z0-9+.\-]*:(?:{authority}|{rooted}|{path}|){tail}"
    return absolute, rf"(?:{authority}|{rooted}|{first}|){tail}"


URI, _RELATIVE = _resource("")
IRI, _RELATIVE_IRI = _resource(_OTHER)
POINTER = r"(?:/(?:[^/~]|~[01])*)*"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
_LETTERS = (
    r"a-z0-9\u00e0-\u00f6\u00f8-\u00ff\u03b1-\u03c1\u03c3-\u03c9\u0430-\u044f\u4e00-\u9fa5"
    r"\uac00-\ud7a3"
)
IDN_LABEL = rf"[{_LETTERS}](?:[{_LETTERS}\-]{{0,20}}[{_LETTERS}])?"
_VARIABLE = r"(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})(?:\.?(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2}))*"
_VALUE = rf"{_VARIABLE}(?::[1-9][0-9]{{0,3}}|\*)?"
_LITERAL = rf"[!#$&(-;=?-\[\]_a-z~{_OTHER}]|{_PERCENT}"
TEMPLATE = rf"(?:{_LITERAL}|\{{[+#./;?&]?{_VALUE}(?:,{_VALUE})*\}})*"
PATTERNS = {
    "date": DATE, "time": TIME, "date-time": rf"{DATE}T{TIME}", "duration": DURATION,
    "ipv4": IPV4, "ipv6": IPV6, "uri": URI, "uri-reference": rf"(?:{URI}|{_RELATIVE})", "iri": IRI,
    "iri-reference": rf"(?:{IRI}|{_RELATIVE_IRI})", "uri-template": TEMPLATE,
    "uuid": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "json-pointer": POINTER,
    "relative-json-pointer": rf"(?:0|[1-9][0-9]*)(?:#|{POINTER})",
}  # fmt: skip
FORMATS = (*PATTERNS, "email", "hostname", "idn-email", "idn-hostname", "regex")
"""What is known; any other format is an annotation."""


def language(spelling: Spelling, name: str) -> Regular | None:
    """The spellings of the strings of a format; None where it is not known."""
    found = spelling.formats.get(name)
    if found is None and name in FORMATS:
        pattern = PATTERNS.get(name)
        try:
            node = _COMPOSED[name]() if pattern is None else read_regex.parse(pattern)
        except OptionError as error:
            raise OptionError(f"format {name}: {error}") from None
        found = spelling.formats[name] = spelling.algebra.of(node, spelling.spell)
    return found


def _hosts(label: str) -> Node:
    """Labels with dots between them, none with two hyphens in the third and fourth place, which are
    kept for encodings."""
    reserved = read_regex.parse(r"[^]{2}--[^]*")
    one = Both((read_regex.parse(label), Not(reserved)))
    dotted = Seq((one, Repeat(Seq((text("."), one)), 0, None)))
    return Both((dotted, read_regex.parse(r"[^]{1,253}")))


def _hostname() -> Node:
    return _hosts(LABEL)


def _idn_hostname() -> Node:
    return Alt((_hosts(LABEL), _hosts(IDN_LABEL)))


def _email() -> Node:
    local = read_regex.parse(rf"{_ATOM}+(?:\.{_ATOM}+)*")
    short = read_regex.parse(r"[^]{1,64}")
    host = Alt((_hostname(), read_regex.parse(rf"\[(?:{IPV4}|IPv6:{IPV6})\]")))
    return Seq((Both((local, short)), text("@"), host))


def _idn_email() -> Node:
    letter = rf"(?:{_ATOM}|[\u00a1-\ud7ff])"
    local = read_regex.parse(rf"{letter}{{1,64}}(?:\.{letter}+)?")
    return Seq((local, text("@"), _idn_hostname()))


def _regex() -> Node:
    """Regular expressions whose groups nest at most twice."""
    times = r"[01],[1-9]|[0-9],[1-9][0-9]|[0-9]{1,2},[1-9][0-9]{2}|[0-9]{1,3},?"
    count = rf"(?:[*+?]|\{{(?:{times})\}})\??"
    escape = r"\\(?:[dDwWsSbBnrtfv^$\\.*+?()\[\]{}|/\-]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})"
    inside = r"(?:[^\\\]\[\-]|\\[dDwWsSnrtfv^$\\.*+?()\[\]{}|/\-])"
    sets = rf"\[\^?(?:a-[fz]|A-[FZ]|0-9|{inside})+-?\]"
    atom = rf"(?:[^\\^$.*+?()\[\]{{}}|]|\.|{escape}|{sets})"
    found = rf"(?:\^|\$|{atom}(?:{count})?|\|)*"
    for _ in range(2):
        group = rf"\((?:\?[:=!])?{found}\)"
        found = rf"(?:\^|\$|(?:{atom}|{group})(?:{count})?|\|)*"
    return read_regex.parse(found)


_COMPOSED = {
    "email": _email, "hostname": _hostname, "idn-email": _idn_email,
    "idn-hostname": _idn_hostname, "regex": _regex,
}  # fmt: skip
