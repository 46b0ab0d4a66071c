"""Which language a call is in: a vote of the commonest words.

Languages that the rules do not know vote as well, so that French is not taken for Spanish. No clear winner, or too few
common words altogether, is no known language.
"""

from __future__ import annotations

import re
from typing import Final

from streams.analyzers.base import Transcript
from streams.analyzers.local.rules import LANGUAGES, Rules, load_rules

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
#: Of all words, at least so many must be among the winner's commonest.
_LEAST_SHARE: Final = 0.2
#: And so much more than those of the second.
_LEAST_LEAD: Final = 1.15
_MAX_WORDS: Final = 2000

_OTHER_LANGUAGES: Final = {
    "fr": "je vous nous est les des une dans pour pas que qui sur avec mon ma mes votre c'est j'ai oui bonjour merci "
    "au du et le la ne très bien suis avez d'accord voudrais il elle on ce cette mais ou à être fait",
    "it": "il che non per una sono è mi ho hai con del della di grazie buongiorno sì vorrei gli questo anche ma come "
    "nel alla lo la e ci bene può posso mio mia perché ancora qui",
    "pt": "não uma para com você meu minha está obrigado obrigada bom dia eu os as do da em que é muito tenho quero "
    "por mais um no na sim isso foi pode se tem ele ela",
    "nl": "ik het een van niet dat zijn hebben met voor u mijn goed dank wel maar naar bij kan ook nog er je wat heb "
    "is de en op te aan dag graag moet",
    "pl": "nie to jest się na że do jak dzień dobry dziękuję proszę mam czy tak ale już mnie dla po za od ja pan pani",
    "sv": "jag är inte det en och att har på för med hej tack vi du kan som min av till så ett den om",
    "da": "jeg er ikke det en og at har på for med hej tak vi du kan som min af til så et den om",
    "tr": "bir ve bu için var mı değil ben çok evet hayır merhaba teşekkür ederim ne da de lütfen nasıl ama",
    "ro": "nu este pentru și cu mai ce eu bună ziua mulțumesc vreau am la din un o pe să de că",
}


def detect_language(transcript: Transcript) -> Rules | None:
    """The rules of the language that the caller speaks, or both speak; None if they know it not."""
    callers = " ".join(turn.text for turn in transcript.turns if turn.role != "assistant")
    everyone = " ".join(turn.text for turn in transcript.turns)
    language = _vote(callers) or _vote(everyone)
    return load_rules(language) if language in LANGUAGES else None


def _vote(text: str) -> str | None:
    words = [match.group().casefold().replace("’", "'") for match in _WORD.finditer(text)][:_MAX_WORDS]
    if not words:
        return None
    votes = {language: sum(word in common for word in words) for language, common in _common_words().items()}
    second, winner = sorted(votes, key=lambda language: votes[language])[-2:]
    is_clear = votes[winner] >= _LEAST_SHARE * len(words) and votes[winner] >= _LEAST_LEAD * votes[second]
    return winner if is_clear and votes[winner] > 0 else None


def _common_words() -> dict[str, frozenset[str]]:
    known = {language: load_rules(language).stop_words for language in LANGUAGES}
    return known | {language: frozenset(words.split()) for language, words in _OTHER_LANGUAGES.items()}
