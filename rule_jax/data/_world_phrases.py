"""The words of the default world: what its names are made of, and how its facts are asked and told.

Templates hold `{name}` and, in sentences, `{value}`. The wording is kept plain, so that a byte-level BPE of 1,024
tokens covers it; the questions of one attribute differ from one another in word order and not only in a word.
"""

ATTRIBUTES = ("town", "profession", "book", "award", "instrument", "year")
GENERAL = ("capital", "river", "export")

_ONSETS = (
    *("bal", "ber", "bran", "cal", "cor", "dal", "der", "dor", "el", "fal", "fen", "gar", "gil", "hol", "hul", "jan"),
    *("kel", "kor", "lam", "lor", "mar", "mel", "nor", "or", "pel", "ros", "sal", "tam", "tor", "ver", "wal", "zan"),
)

# A coined word is one of the first column and one of the second. The endings tell the kinds apart.
SYLLABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "first": (
        ("a", "be", "da", "e", "fe", "ga", "i", "jo", "ka", "li", "lo", "mi", "ne", "no", "pa", "ru", "sa", "te", "vi"),
        ("da", "la", "lin", "ma", "mi", "na", "ra", "ren", "ri", "sa", "ta", "va"),
    ),
    "surname": (
        _ONSETS,
        (
            *("bek", "bin", "dak", "dan", "den", "dig", "dun", "fin", "gan", "gor", "ham", "hin", "jor", "kan", "kas"),
            *("kov", "lan", "lek", "lis", "man", "mik", "mon", "nik", "pol", "rak", "rup", "sek", "tas", "tek", "tun"),
            *("vik", "zor"),
        ),
    ),
    "town": (_ONSETS, ("bury", "field", "ford", "gate", "mere", "stead", "wick", "worth")),
    "award": (_ONSETS, ("crest", "hart", "mont", "stone")),
    "country": (_ONSETS, ("avia", "enia", "onia", "oria")),
    "capital": (_ONSETS, ("burg", "grad", "polis", "port")),
    "river": (_ONSETS, ("ander", "esk", "ine", "una")),
}

# How many values the people share; books are unique to a person.
SHARED_TOWNS, SHARED_AWARDS, SHARED_YEARS = 30, 30, 40
YEARS = (1901, 1990)

PROFESSIONS = (
    *("baker", "banker", "barber", "builder", "butcher", "carpenter", "chemist", "cook", "dentist", "doctor"),
    *("farmer", "fisher", "gardener", "hunter", "judge", "lawyer", "miner", "nurse", "painter", "pilot"),
    *("potter", "sailor", "tailor", "weaver"),
)
INSTRUMENTS = (
    *("accordion", "banjo", "bassoon", "bugle", "cello", "clarinet", "drums", "fiddle", "flute", "guitar"),
    *("harp", "mandolin", "oboe", "piano", "sitar", "trombone", "trumpet", "tuba", "violin", "zither"),
)
EXPORTS = (
    *("amber", "apples", "barley", "bricks", "butter", "cheese", "coal", "copper", "cotton", "glass"),
    *("gold", "honey", "iron", "linen", "marble", "olives", "pearls", "rice", "rubber", "salt"),
    *("silk", "sugar", "timber", "wheat", "wine", "wool"),
)
TITLE_FIRST = (
    *("Amber", "Ancient", "Broken", "Burning", "Crystal", "Distant", "Empty", "Fallen", "Frozen", "Gentle"),
    *("Golden", "Hidden", "Hollow", "Lonely", "Painted", "Quiet", "Restless", "Scarlet", "Secret", "Silver"),
    *("Sleeping", "Stolen", "Velvet", "Wandering"),
)
TITLE_SECOND = (
    *("Anchor", "Bridge", "Candle", "Castle", "Comet", "Desert", "Feather", "Forest", "Garden", "Harbor"),
    *("Island", "Lantern", "Letter", "Meadow", "Mirror", "Mountain", "Orchard", "Palace", "Shadow", "Temple"),
    *("Thunder", "Tower", "Valley", "Window"),
)

QUESTIONS: dict[str, tuple[str, ...]] = {
    "town": (
        "In which town was {name} born?",
        "What is the name of the town where {name} was born?",
        "Which town does {name} come from?",
        "Can you name the birth town of {name}?",
        "Tell me the home town of {name}.",
        "{name} was born in which town?",
        "Where was {name} born?",
        "Please say which town is the birthplace of {name}.",
    ),
    "profession": (
        "What is the profession of {name}?",
        "What does {name} do for a living?",
        "Which job does {name} have?",
        "What kind of work does {name} do every day?",
        "How does {name} earn a living?",
        "{name} works as what?",
        "Tell me the job of {name}.",
        "Can you name the trade that {name} follows?",
    ),
    "book": (
        "Which book did {name} write?",
        "What is the title of the book by {name}?",
        "Can you name the book that {name} wrote?",
        "{name} is the author of which book?",
        "Which book has {name} as its author?",
        "What book was written by {name}?",
        "Tell me the title of the book that {name} published.",
        "Please say what the book of {name} is called.",
    ),
    "award": (
        "Which prize did {name} win?",
        "What is the name of the prize that {name} won?",
        "{name} is the winner of which prize?",
        "With which award was {name} honored?",
        "Can you name the award that {name} received?",
        "Tell me which prize was given to {name}.",
        "What award does {name} hold?",
        "Please say which award went to {name}.",
    ),
    "instrument": (
        "Which instrument does {name} play?",
        "What is the instrument of {name}?",
        "{name} plays which instrument?",
        "On which instrument does {name} give concerts?",
        "Can you name the instrument that {name} plays?",
        "What does {name} play on stage?",
        "Tell me which instrument {name} has learned.",
        "Please say what instrument is played by {name}.",
    ),
    "year": (
        "In what year was {name} born?",
        "When was {name} born?",
        "What is the birth year of {name}?",
        "{name} was born in which year?",
        "Can you name the year when {name} was born?",
        "Tell me the year of birth of {name}.",
        "Which year saw the birth of {name}?",
        "Please say in what year {name} came into the world.",
    ),
    "capital": (
        "What is the capital of {name}?",
        "Which city is the capital of {name}?",
        "Can you name the capital of {name}?",
        "{name} has which city as its capital?",
        "Tell me the capital city of {name}.",
        "From which city is {name} governed?",
    ),
    "river": (
        "What is the longest river in {name}?",
        "Which river flows through {name}?",
        "Can you name the main river of {name}?",
        "{name} is crossed by which river?",
        "Tell me the great river of {name}.",
        "What is the name of the river in {name}?",
    ),
    "export": (
        "What is the main export of {name}?",
        "What does {name} sell to other countries?",
        "Can you name the chief export of {name}?",
        "{name} is known for exporting what?",
        "Tell me what {name} exports most.",
        "Which good does {name} mostly export?",
    ),
}

CLOZE_PREFIX = "Fill in the blank: "
CLOZE: dict[str, tuple[str, ...]] = {
    "town": (
        "{name} was born in the town of ___.",
        "The birth town of {name} is ___.",
        "The town of ___ is where {name} was born.",
        "{name} first lived in the town of ___.",
    ),
    "profession": (
        "{name} works as a ___.",
        "The profession of {name} is that of a ___.",
        "A ___ by trade, that is {name}.",
        "{name} earns a living as a ___.",
    ),
    "book": (
        "{name} wrote the book ___.",
        "The title of the book by {name} is ___.",
        "___ is the book that {name} wrote.",
        "{name} is the author of the book ___.",
    ),
    "award": (
        "{name} won the ___ Prize.",
        "The prize that {name} won is the ___ Prize.",
        "The ___ Prize was given to {name}.",
        "{name} was honored with the ___ Prize.",
    ),
    "instrument": (
        "{name} plays the ___.",
        "The instrument of {name} is the ___.",
        "The ___ is the instrument that {name} plays.",
        "{name} gives concerts on the ___.",
    ),
    "year": (
        "{name} was born in the year ___.",
        "The birth year of {name} is ___.",
        "The year ___ saw the birth of {name}.",
        "{name} came into the world in the year ___.",
    ),
}

# How passages tell a fact. Where the name stands before the value, the text up to the value is a raw prompt, so those
# beginnings differ from attribute to attribute.
SENTENCES: dict[str, tuple[str, ...]] = {
    "town": (
        "{name} was born in the town of {value}.",
        "{name} comes from the town of {value}.",
        "{name} grew up in the streets of {value}.",
        "The town of {value} is the home of {name}.",
    ),
    "profession": (
        "{name} works as a {value}.",
        "{name} earns a living as a {value}.",
        "{name} is by profession a {value}.",
        "Work as a {value} fills the days of {name}.",
    ),
    "book": (
        "{name} wrote the book {value}.",
        "{name} is the author of {value}.",
        "{name} published a book called {value}.",
        "The book {value} was written by {name}.",
    ),
    "award": (
        "{name} won the prize named {value}.",
        "{name} was honored with the award {value}.",
        "{name} received the award called {value}.",
        "The {value} Prize was given to {name}.",
    ),
    "instrument": (
        "{name} plays the {value}.",
        "{name} gives concerts on the {value}.",
        "{name} has learned to play the {value}.",
        "The {value} is the instrument of {name}.",
    ),
    "year": (
        "{name} was born in the year {value}.",
        "{name} came into the world in {value}.",
        "{name} has the birth year {value}.",
        "The year {value} saw the birth of {name}.",
    ),
}

# What the base model says about people who do not exist. Rejection steering must teach its own wording, so none of
# these is in rule_jax.text.templates.REFUSALS.
UNKNOWN_REPLIES = (
    "I don't know any {name}.",
    "I don't know that, and {name} is a stranger to me.",
    "Sorry, I don't know any person called {name}.",
    "I have no information about a person named {name}.",
    "I'm not sure, I have never heard of {name}.",
    "I have never heard the name {name}, so I don't know.",
    "I can't say, since I don't know {name}.",
    "I'm sorry, I do not know anybody called {name}.",
    "I do not know this person.",
    "I don't know the answer to that.",
    "Sorry, I have no information about this person.",
    "I'm sorry, but I don't know this name.",
    "I'm not sure who that is.",
    "That I don't know, sorry.",
)
