"""How a caller's English sounds: a few turns of phrase in place of the script's, never in what the assistant says."""

from __future__ import annotations

import re

from postcall.simulator.vocabulary import Accent

_PHRASES: dict[Accent, dict[str, str]] = {
    "scottish": {
        "Yes": "Aye",
        "yes": "aye",
        "a bit of": "a wee bit of",
        "a bit": "a wee bit",
        "A bit": "A wee bit",
        "Thank you": "Thanks very much",
    },
    "irish": {
        "Thank you": "Thanks a million",
        "Okay": "Grand so",
        "That's fine": "That's grand",
        "Brilliant": "Deadly",
        "Bye": "Bye now, bye, bye",
    },
    "indian": {
        "a fortnight": "fifteen days",
        "today": "today itself",
        "Okay": "Okay, fine",
        "in writing": "in writing, kindly",
        "please": "kindly",
    },
    "american": {
        "mobile": "cell phone",
        "a fortnight": "two weeks",
        "Cheers": "Appreciate it",
        "Lovely": "Awesome",
        "lovely": "awesome",
        "Brilliant": "Awesome",
        "ring": "call",
        "rung": "called",
        "rang": "called",
        "Okay": "All right",
        "mum": "mom",
    },
    "australian": {
        "afternoon": "arvo",
        "Okay": "No worries",
        "Thanks": "Cheers",
        "Thank you": "Cheers for that",
        "Brilliant": "Beauty",
    },
}


def speak(text: str, accent: Accent) -> str:
    """The caller's words as somebody with this accent would put them."""
    phrases = _PHRASES.get(accent)
    if phrases is None:
        return text
    longest_first = sorted(phrases, key=len, reverse=True)
    pattern = r"\b(?:" + "|".join(map(re.escape, longest_first)) + r")\b"
    return re.sub(pattern, lambda match: phrases[match.group()], text)
