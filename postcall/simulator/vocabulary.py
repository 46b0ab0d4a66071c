"""The words that every dialogue may fill in: names, streets, days, times, prices, by language and accent.

Nobody here exists. What a trade alone needs (engineers, boilers, pets) stands in its own script.
"""

from __future__ import annotations

from random import Random
from typing import Literal

from postcall.simulator.decks import deck

Accent = Literal["british", "scottish", "irish", "indian", "american", "australian", "german", "spanish"]

#: Of twenty English calls, how many speak how.
ENGLISH_ACCENTS: tuple[Accent, ...] = deck(
    (12, "british"), (2, "scottish"), (2, "irish"), (2, "indian"), (1, "american"), (1, "australian")
)

_FIRST_NAMES: dict[str, str] = {
    "british": "Amelia Ben Carys Danielle Ed Fatima George Helen Isaac Jean Keith Leanne Mohammed Naomi Oliver Pauline "
    "Rashid Sophie Tom Uma Vera Wendy Yasmin Zoe Adebayo Mei Agnieszka Curtis",
    "scottish": "Ailsa Callum Eilidh Fergus Hamish Iona Kirsty Morag Rory Struan",
    "irish": "Aoife Cormac Declan Gráinne Niamh Oisín Sinéad Tadhg Róisín Pádraig",
    "indian": "Ananya Arjun Deepa Kavita Lakshmi Manish Pooja Rajesh Sanjay Vikram",
    "american": "Brandon Courtney Darnell Hailey Marcus Shawna Tyler Madison",
    "australian": "Bronte Darcy Jarrah Kylie Lachlan Shane Tahlia Bruce",
    "german": "Anke Björn Carsten Dörte Elif Jürgen Katrin Matthias Sabine Uwe",
    "spanish": "Álvaro Begoña Carmen Íñigo Lucía Marisol Nuria Rafael Sofía Yolanda",
}
_SURNAMES: dict[str, str] = {
    "british": "Ashworth Bassett Clegg Dhillon Eastwood Farrow Goldsmith Hussain Ingham Jessop Kowalski Lamb Mbeki "
    "Norris Oyelaran Pickering Quayle Rowntree Sandhu Thackray Underhill Venables Whitaker Yardley",
    "scottish": "Buchanan Drummond Farquhar Kerr McAllister Ogilvie Sinclair Urquhart",
    "irish": "Brennan Cassidy Devlin Gallagher Keane Molloy O'Dwyer Tierney",
    "indian": "Banerjee Desai Iyer Kulkarni Menon Nair Reddy Trivedi",
    "american": "Buckley Hutchins Jefferson Kowalczyk Moreno Ramsey Stokes Tillman",
    "australian": "Abbott Hargreaves McKenna Nguyen Papadakis Wilkins",
    "german": "Böhm Dietrich Erdoğan Grünwald Krause Lindemann Vogt Weiß",
    "spanish": "Aguirre Benítez Castaño Domínguez Ibáñez Montoya Quiroga Urrutia",
}
_STREETS = (
    "Albert Road", "Beech Close", "Canal Street", "Durham Terrace", "Eastfield Avenue", "Foundry Lane", "Gasworks Row",
    "Holly Bank", "Inkerman Street", "Jubilee Crescent", "Kiln Lane", "Lower Mill Road", "Marlborough Way",
    "North Quay", "Old Tannery Yard", "Priory Gardens", "Quarry Hill", "Ropewalk", "Station Approach", "Tollgate Drive",
    "Upper Brook Street", "Victoria Mews", "Weaver's Court", "Yew Tree Lane",
)  # fmt: skip
_TOWNS = (
    "Ashby", "Brackwater", "Castle Ferry", "Denholme", "Easterly", "Fallowfield", "Great Harwell", "Holmbridge",
    "Inverlea", "Kingsmere", "Lowick", "Marston", "Newbridge", "Oakhampton",
)  # fmt: skip
_COLLEAGUES = ("Priya", "Graham", "Lottie", "Samir", "Angharad", "Nick", "Beatriz", "Duncan", "Femi", "Trudy")

_DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado"),
}
_TIMES = {
    "en": ("half past nine", "ten o'clock", "quarter to eleven", "11:20", "ten past two", "3:15", "quarter past four"),
    "de": ("neun Uhr", "halb zehn", "zehn Uhr dreißig", "vierzehn Uhr", "Viertel nach drei", "16 Uhr"),
    "es": ("las nueve", "las diez y media", "las once", "las cuatro", "las cinco y cuarto", "las seis menos cuarto"),
}  # fmt: skip
_EARLY_TIMES = ("eight o'clock", "quarter past eight", "8:30", "ten to nine", "nine")
_LATE_TIMES = ("half past four", "quarter to five", "five o'clock", "5:20", "half five", "six")
_DINNER_TIMES = ("seven", "half past seven", "7:45", "eight o'clock", "quarter past eight", "six thirty")

#: Pounds, euros or dollars: the least, the most, and the step between two prices.
_PRICE_RANGES = {
    "tiny_price": (12, 40, 2),
    "small_price": (45, 120, 5),
    "mid_price": (125, 260, 5),
    "big_price": (320, 1280, 20),
}


def words_for(language: str, accent: Accent, random: Random) -> dict[str, str]:
    """What one call says wherever its script leaves a word open."""
    day, other_day = random.sample(_DAYS[language], 2)
    return {
        "first": random.choice(_FIRST_NAMES[accent].split()),
        "surname": random.choice(_SURNAMES[accent].split()),
        "colleague": random.choice(_COLLEAGUES),
        "street": random.choice(_STREETS),
        "number": str(random.randrange(1, 190)),
        "town": random.choice(_TOWNS),
        "day": day,
        "other_day": other_day,
        "time": random.choice(_TIMES[language]),
        "early_time": random.choice(_EARLY_TIMES),
        "late_time": random.choice(_LATE_TIMES),
        "dinner_time": random.choice(_DINNER_TIMES),
        "digits": " ".join(random.choices("0123456789", k=4)),
        "letters": " ".join(random.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=3)),
        "room_number": str(random.randrange(101, 420)),
        **{name: _price(name, language, accent, random) for name in _PRICE_RANGES},
    }


def _price(name: str, language: str, accent: Accent, random: Random) -> str:
    amount = random.randrange(*_PRICE_RANGES[name])
    if language == "de":
        return f"{amount} Euro"
    return f"${amount}" if accent in ("american", "spanish", "australian") else f"£{amount}"
