"""Detects the encoding of a text file that does not name it."""

import codecs
import re
from collections import Counter

from linkage.errors import UnusableInput

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with BOM"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 LE with BOM"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 BE with BOM"),
)
NAMES = {"mac_roman": "MacRoman", "cp1252": "Windows-1252"}

# Letters of the languages that both MacRoman and Windows-1252 were made for. The
# other letters in the two (š, ž, ý, þ, ð …) are too rare to be evidence for either.
COMMON_LETTERS = frozenset("àáâãäåæçèéêëìíîïñòóôõöøùúûüßœÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜŒ")
RARE_LETTERS = frozenset("šžýþðÿŠŽÝÞÐŸ")
ACCENTED = COMMON_LETTERS | RARE_LETTERS
# Lower-case letters that hardly ever begin a word, or end one: if they seem to, the
# byte is a quotation mark, a dash or a bullet of the other character set.
SELDOM_FIRST = frozenset("ëìïòùß")
SELDOM_LAST = frozenset("îïñœ")
SELDOM_ALONE = frozenset("ëìîïñòôõûüãâäçêßœ") | frozenset(map(str.lower, RARE_LETTERS))
VOWELS = frozenset("aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüœ")
CONTRACTION = re.compile(r"(?:s|t|d|m|ll|re|ve)(?![^\W\d_])")
# Part of a word long enough to be a word: in "foot–left" it is a dash, in "ni–o" it is the ñ of the other set.
WORD_BEFORE, WORD_AFTER = re.compile(r"(?:.*[^\w]|)[^\W\d_]{3,}", re.DOTALL), re.compile(r"[^\W\d_]{2}")
# How many characters on either side are looked at.
REACH = 12
NAME = re.compile(r"(?:.*[\W\d_])?[A-Z][a-z]{3,}", re.DOTALL)
ELISION = re.compile(r"(?:^|.*[\W\d_])(?:[cdjlmnostCDJLMNOST]|[qQ]u)", re.DOTALL)


def find_encoding(data: bytes) -> tuple[str, str]:
    """Python's name for the encoding of `data`, and a description of it with the evidence.

    In this order: a BOM; ASCII; UTF-8; MacRoman or Windows-1252. If most of what is
    not ASCII is valid UTF-8, it is UTF-8 with some broken bytes, not one of the last two.

    Raises UnusableInput for what looks like UTF-16 without a BOM.
    """
    for bom, encoding, description in BOMS:
        if data.startswith(bom):
            return encoding, description
    if 4 * data.count(0) > len(data):
        even, odd = data[::2].count(0), data[1::2].count(0)
        if min(even, odd) > max(even, odd) / 4:
            raise UnusableInput("the file is full of NUL bytes, so it is damaged or not text; copy or export it again")
        byte_order = "le" if odd >= even else "be"
        raise UnusableInput(
            f"the file is full of NUL bytes, like UTF-16 without a BOM; try --encoding utf-16-{byte_order}"
        )
    if data.isascii():
        return "ascii", "ASCII"
    as_utf8 = data.decode("utf-8", "replace")
    broken = as_utf8.count("\ufffd") - data.count("\ufffd".encode())
    whole = len(re.findall(r"[^\x00-\x7f]", as_utf8)) - broken
    if whole > broken:
        return "utf-8", f"UTF-8 ({whole:,} characters above ASCII, all valid)"
    return legacy_encoding(data)


def legacy_encoding(data: bytes) -> tuple[str, str]:
    """MacRoman or Windows-1252 for bytes that are not UTF-8: Python's name for it, and a sentence with the evidence.

    Both sets have a character for nearly every byte, so each character above ASCII
    is judged in its context, in both readings: letters are inside words and fit
    their case, quotation marks are at the edges of words, and so on. If that does
    not decide, the commonest line end does: CR suggests a Mac, any other Windows.

    Measured on 45 words of six languages, each the only one in an export, in both sets
    and with two line ends: right for 175 of 180, and all the others are called undecided.
    charset-normalizer 3.5 is right for 136 when it may choose from these two sets alone,
    and for 10 when it may choose from all. `tests/filemaker/test_convert.py` has the words.
    """
    contexts = Counter(
        (data[max(0, at - REACH) : at], data[at : at + 1], data[at + 1 : at + REACH])
        for at in (match.start() for match in re.finditer(rb"[\x80-\xff]", data))
    )
    counts = {encoding: {1: 0, 0: 0, -1: 0} for encoding in NAMES}
    for context, number in contexts.items():
        for encoding, count in counts.items():
            count[fit(*(part.decode(encoding, "replace") for part in context))] += number

    score = {encoding: count[1] - count[-1] for encoding, count in counts.items()}
    evidence = "; ".join(
        f"read as {NAMES[encoding]} {count[1]:,} characters fit their context and {count[-1]:,} do not"
        for encoding, count in counts.items()
    )
    texts = {encoding: data.decode(encoding, "replace") for encoding in NAMES}
    chosen = max(score, key=lambda encoding: score[encoding])
    if score["mac_roman"] == score["cp1252"] and texts["mac_roman"] != texts["cp1252"]:
        crlf = data.count(b"\r\n")
        cr, lf = data.count(b"\r") - crlf, data.count(b"\n") - crlf
        chosen = "mac_roman" if cr > crlf and cr >= lf else "cp1252"
        evidence += "; undecided, so chosen by the line end: check it, or name the encoding with --encoding"
    # signs fit anywhere, so a set fits unless something in it does not
    if counts[chosen][-1] and 2 * counts[chosen][1] <= sum(counts[chosen].values()):
        evidence += "; neither fits most of them: name the encoding with --encoding"
    return chosen, f"{NAMES[chosen]} ({evidence})"


def fit(before: str, character: str, after: str) -> int:
    """Whether a character above ASCII fits the up to three characters on either side: 1 yes, -1 no, 0 either way."""
    if character in COMMON_LETTERS:
        return letter_fits(before, character, after)
    if character in RARE_LETTERS:
        beside_vowel = not VOWELS.isdisjoint((before[-1:].lower(), after[:1].lower()))
        return min(letter_fits(before, character, after), 1 if character in "šžŠŽ" and beside_vowel else 0)
    return sign_fits(before, character, after)


def sign_fits(before: str, sign: str, after: str) -> int:
    """`fit` for quotation marks, dashes and everything else that is not a letter."""
    previous, following = before[-1:], after[:1]
    in_word = is_letter(previous) and is_letter(following)
    fits: bool | None
    if sign == "’" and in_word:
        fits = bool(CONTRACTION.match(after) or ELISION.fullmatch(before)) or None
    elif sign in "“”‘’«»‹›":
        # at the edge of a word; « and » may also be separated from it by a space
        fits = previous.isalnum() != following.isalnum() or (None if not previous.isalnum() else False)
    elif sign in "„‚¿¡":
        fits = following.isalnum() and not previous.isalnum()
    elif sign in "–—" and in_word:
        fits = True if WORD_BEFORE.fullmatch(before) and WORD_AFTER.match(after) else None
    elif sign in "–—":
        fits = True
    elif sign == "…":
        fits = (None if in_word else False) if is_letter(following) else True
    elif sign in "™®":
        fits = False if is_letter(following) else is_letter(previous) or None
    elif sign == "\xa0":
        fits = None if in_word else True
    elif sign in "²³":
        fits = not in_word if previous.isalnum() else None
    elif sign in "°ªº½¼¾×µ":
        fits = False if is_letter(previous) else previous.isdigit() or None
    elif sign in "•·":
        fits = not in_word
    else:
        # isolated signs, accents without a letter, and bytes that the set does not have
        fits = False if sign in "\ufffd¤" or is_letter(previous) or is_letter(following) else None
    return 0 if fits is None else 1 if fits else -1


def letter_fits(before: str, letter: str, after: str) -> int:
    """`fit` for a letter."""
    previous, following = before[-1:], after[:1]
    first, last = not is_letter(previous), not is_letter(following)
    # words have at most two accented letters in a row; more are the letters of another script
    around = (before[-2:] + letter, previous + letter + following, letter + after[:2])
    if previous.isdigit() or following.isdigit() or any(len(run) == 3 and ACCENTED.issuperset(run) for run in around):
        return -1
    if first and last:
        return 1 if letter in "àÀ" else -1 if letter.lower() in SELDOM_ALONE else 0
    if letter.isupper():
        begins_name = following.isupper() and after[1:2].islower()
        return -1 if previous.islower() or begins_name or (previous.isupper() and following.islower()) else 1
    seldom = (
        letter != "ß" and (following.isupper() or (previous.isupper() and before[-2:-1].isupper())),
        first and letter in SELDOM_FIRST,
        last and letter in SELDOM_LAST,
        letter == "ñ" and not (following in VOWELS and (first or previous.lower() in VOWELS)),
        # "Walker™" in Windows-1252
        letter == "ô" and last and NAME.fullmatch(before),
        # "patient’s" in Windows-1252
        letter == "í" and not first and CONTRACTION.match(after),
    )
    # a vowel between vowels is as rare as what it would be in the other set: "Dušan"
    between_vowels = VOWELS.issuperset((letter, previous.lower(), following))
    return -1 if any(seldom) else 0 if between_vowels else 1


def is_letter(character: str) -> bool:
    """Whether it is a letter of a word, and not a sign that Unicode counts as a letter, such as ª, ƒ or Ω."""
    return (character.isascii() and character.isalpha()) or character in ACCENTED
