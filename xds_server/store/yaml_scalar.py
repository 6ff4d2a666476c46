"""What an unquoted YAML scalar means: the reading that Istio's own loader (sigs.k8s.io/yaml, Go's yaml.v2) gives it.

YAML 1.1 words for booleans and null, Go's integer and float spellings. A date and `12:30:45` stay text, as in Go.
"""

from __future__ import annotations

import re
from functools import lru_cache

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_NUMBER_STARTS = frozenset("0123456789+-.")
_INTEGER = re.compile(r"[-+]?(?:0x[0-9a-f]+|0o[0-7]+|0b[01]+|0[0-7]+|0|[1-9][0-9]*)\Z", re.IGNORECASE)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_BASES = {"x": 16, "o": 8, "b": 2}
_LONGEST_NUMBER = 64
_INT64 = range(-(2**63), 2**64)


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar; text that is no number, boolean or null is itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS or len(text) > _LONGEST_NUMBER:
        return text
    return _number(text)


@lru_cache(maxsize=1024)
def _number(text: str) -> Scalar:
    digits = text.replace("_", "")
    if _INTEGER.match(digits):
        number = _integer(digits)
        return number if number in _INT64 else float(number)
    return float(digits) if _FLOAT.match(digits) else text


def _integer(digits: str) -> int:
    """Go's strconv.ParseInt with base 0: a leading 0 alone means octal."""
    unsigned = digits.lstrip("+-").lower()
    sign = -1 if digits[0] == "-" else 1
    if len(unsigned) == 1 or unsigned[0] != "0":
        return sign * int(unsigned)
    return sign * int(
        unsigned.removeprefix("0" + unsigned[1] if unsigned[1] in _BASES else "0"), _BASES.get(unsigned[1], 8)
    )
