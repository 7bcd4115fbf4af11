"""The character set of a text file that does not say which it is in."""

import codecs
import re
from collections import Counter

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with BOM"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 LE with BOM"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 BE with BOM"),
)

# Letters of the languages that both MacRoman and Windows-1252 were made for. The
# other letters the two have (š, ž, ý, þ, ð …) are too rare to speak for a reading.
COMMON_LETTERS = frozenset("àáâãäåæçèéêëìíîïñòóôõöøùúûüßœÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜŒ")
RARE_LETTERS = frozenset("šžýþðÿŠŽÝÞÐŸ")
# Small letters that hardly begin a word, or end one: where they seem to, the byte
# is a quotation mark, a dash or a bullet of the other character set.
SELDOM_FIRST = frozenset("ëìïòùß")
SELDOM_LAST = frozenset("îïñœ")
SELDOM_ALONE = frozenset("ëìîïñòôõûüãâäçêßœ") | frozenset(map(str.lower, RARE_LETTERS))
CONTRACTION = re.compile(r"(?:s|t|d|m|ll|re|ve)(?![^\W\d_])")
ELISION = re.compile(r"(?:^|.*[\W\d_])(?:[cdjlmnostCDJLMNOST]|[qQ]u)", re.DOTALL)


def legacy_encoding(data: bytes, separator: bytes) -> tuple[str, str]:
    """MacRoman or Windows-1252 for bytes that are no UTF-8: Python's name of it, and a sentence with the evidence.

    Both sets give nearly every byte a character, so each character above ASCII
    is looked at in its surroundings, in both readings: letters stand in words and
    fit their case, quotation marks stand at the edges of words, and so on. Where
    that does not decide, the record `separator` does: CR speaks for a Mac,
    anything else for Windows.
    """
    contexts = Counter(
        (data[max(0, at - 3) : at], data[at : at + 1], data[at + 1 : at + 4])
        for at in (match.start() for match in re.finditer(rb"[\x80-\xff]", data))
    )
    counts = {encoding: {1: 0, 0: 0, -1: 0} for encoding in ("mac_roman", "cp1252")}
    for context, number in contexts.items():
        for encoding, count in counts.items():
            count[fit(*(part.decode(encoding, "replace") for part in context))] += number

    names = {"mac_roman": "MacRoman", "cp1252": "Windows-1252"}
    score = {encoding: count[1] - count[-1] for encoding, count in counts.items()}
    evidence = "; ".join(
        f"read as {names[encoding]} {count[1]:,} characters fit their surroundings and {count[-1]:,} do not"
        for encoding, count in counts.items()
    )
    if score["mac_roman"] != score["cp1252"]:
        chosen = max(score, key=lambda encoding: score[encoding])
    else:
        chosen = "mac_roman" if separator == b"\r" else "cp1252"
        evidence += "; undecided, so taken from the record separator: check it, or name it with --encoding"
    return chosen, f"{names[chosen]} ({evidence})"


def fit(before: str, character: str, after: str) -> int:
    """Whether a character above ASCII fits the up to three characters on either side: 1 yes, -1 no, 0 either way."""
    if character in COMMON_LETTERS:
        return letter_fits(before, character, after)
    if character in RARE_LETTERS:
        return min(letter_fits(before, character, after), 0)
    return sign_fits(before, character, after)


def sign_fits(before: str, sign: str, after: str) -> int:
    """`fit` for quotation marks, dashes and whatever else is no letter."""
    previous, following = before[-1:], after[:1]
    in_word = is_letter(previous) and is_letter(following)
    fits: bool | None
    if sign == "’" and in_word:
        fits = bool(CONTRACTION.match(after) or ELISION.fullmatch(before))
    elif sign in "“”‘’«»‹›":
        # at the edge of a word; « and » also stand apart from it
        fits = previous.isalnum() != following.isalnum() or (None if not previous.isalnum() else False)
    elif sign in "„‚¿¡":
        fits = following.isalnum() and not previous.isalnum()
    elif sign in "–—":
        fits = (None if sign == "—" or following.isupper() else False) if in_word else True
    elif sign == "…":
        fits = not is_letter(following)
    elif sign == "\xa0":
        fits = None if in_word else True
    elif sign in "²³":
        fits = not in_word if previous.isalnum() else None
    elif sign in "°ªº½¼¾×":
        fits = False if is_letter(previous) else previous.isdigit() or None
    elif sign in "•·":
        fits = not in_word
    else:
        # signs that stand by themselves, lone accents, and bytes that the set does not have
        fits = False if sign == "\ufffd" or is_letter(previous) or is_letter(following) else None
    return 0 if fits is None else 1 if fits else -1


def letter_fits(before: str, letter: str, after: str) -> int:
    """`fit` for a letter."""
    previous, following = before[-1:], after[:1]
    first, last = not is_letter(previous), not is_letter(following)
    if previous.isdigit() or following.isdigit():
        return -1
    if first and last:
        return 1 if letter in "àÀ" else -1 if letter.lower() in SELDOM_ALONE else 0
    if letter.isupper():
        return -1 if previous.islower() or (previous.isupper() and following.islower()) else 1
    if letter != "ß" and (following.isupper() or (previous.isupper() and before[-2:-1].isupper())):
        return -1
    if (first and letter in SELDOM_FIRST) or (last and letter in SELDOM_LAST):
        return -1
    # "patient’s" in Windows-1252
    return -1 if letter == "í" and not first and CONTRACTION.match(after) else 1


def is_letter(character: str) -> bool:
    """Whether it is a letter of a word (and not a sign that Unicode counts as one, as ª, ƒ or Ω)."""
    return (character.isascii() and character.isalpha()) or character in COMMON_LETTERS or character in RARE_LETTERS
