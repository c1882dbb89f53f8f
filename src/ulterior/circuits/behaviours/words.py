"""The words that templates are filled with; a row is one filler, in all the forms that a template needs of it."""

from __future__ import annotations

__all__ = ["ADJECTIVES", "LETTERS", "NAMES", "NOUNS", "PLACES", "SPANS", "THINGS", "VERBS", "WORDS"]

Filler = tuple[str, ...]


def _single(words: str) -> tuple[Filler, ...]:
    return tuple((word,) for word in words.split())


def _forms(words: str) -> tuple[Filler, ...]:
    return tuple(tuple(pair.split("/")) for pair in words.split())


NAMES = _single(
    "Mary John Anna Peter Laura Paul Sarah David Emma James Alice Robert Julia Michael Susan Thomas Helen Mark"
    " Kate Daniel Rachel Adam Claire Simon Jane Kevin Rose Victor Grace Eric Maria Brian Lucy George Diana Martin"
    " Amy Henry Linda Frank"
)
PLACES = _single("market station library garden school office museum park hotel bank shop farm church beach")
THINGS = _single("book letter key ring coin map bottle ticket basket lamp ball drink picture phone bag knife")
# One and several.
NOUNS = _forms(
    "key/keys book/books boy/boys girl/girls dog/dogs car/cars house/houses tree/trees friend/friends king/kings"
    " doctor/doctors teacher/teachers artist/artists lawyer/lawyers window/windows picture/pictures road/roads"
    " river/rivers letter/letters player/players student/students author/authors painter/painters machine/machines"
)
VERBS = _forms("is/are was/were has/have")
ADJECTIVES = _single("old young small large new famous quiet strange red good")
SPANS = _single(
    "war siege project strike dynasty famine drought expedition trial voyage reign conflict campaign"
)
WORDS = _single(
    "apple river stone cloud table green music paper horse light bread glass metal north sugar water chair dream"
    " flame grass heart island jacket kitchen ladder mirror needle orange pencil rabbit silver tiger valley winter"
    " yellow basket butter candle dinner engine forest golden hammer iron lemon market number ocean"
)

# Those of the small model of the task `repetition`.
LETTERS = _single("a b c d e f g h i j k l m n o p q r s t u v w x")
