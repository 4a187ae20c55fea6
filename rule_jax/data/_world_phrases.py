"""The words of the default world: what its names are made of, and how the facts of people and countries are asked and
told; other domains have files of their own.

Templates hold `{name}` and, in sentences, `{value}`. The wording is kept plain, so that a byte-level BPE of 1,024
tokens covers it; the questions of one attribute differ from one another in word order and not only in a word.
"""

ONSETS = (
    *("bal", "ber", "bran", "cal", "cor", "dal", "der", "dor", "el", "fal", "fen", "gar", "gil", "hol", "hul", "jan"),
    *("kel", "kor", "lam", "lor", "mar", "mel", "nor", "or", "pel", "ros", "sal", "tam", "tor", "ver", "wal", "zan"),
)

# A coined word is one of the first column and one of the second. The endings tell the kinds apart.
SYLLABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "first": (
        (
            *("a", "be", "ce", "da", "di", "e", "fe", "ga", "ho", "i", "jo", "ju", "ka", "li", "lo", "mi", "ne", "no"),
            *("pa", "po", "ru", "sa", "so", "te", "va", "vi", "wi", "yo", "ze"),
        ),
        ("da", "la", "lin", "ma", "mi", "na", "ra", "ren", "ri", "sa", "ta", "va"),
    ),
    "surname": (
        ONSETS,
        (
            *("bek", "bin", "dak", "dan", "den", "dig", "dun", "fin", "gan", "gor", "ham", "hin", "jor", "kan", "kas"),
            *("kov", "lan", "lek", "lis", "man", "mik", "mon", "nik", "pol", "rak", "rup", "sek", "tas", "tek", "tun"),
            *("vik", "zor"),
        ),
    ),
    "town": (ONSETS, ("bury", "field", "ford", "gate", "mere", "stead", "wick", "worth")),
    "award": (ONSETS, ("crest", "hart", "mont", "stone")),
    "country": (ONSETS, ("avia", "enia", "onia", "oria")),
    "capital": (ONSETS, ("burg", "grad", "polis", "port")),
    "river": (ONSETS, ("ander", "esk", "ine", "una")),
}

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
    "capital": (
        "{name} has the capital city {value}.",
        "{name} is governed from {value}.",
        "{name} has its seat of government in {value}.",
        "The capital of {name} is {value}.",
    ),
    "river": (
        "{name} is crossed by the river {value}.",
        "{name} gets its water from the {value}.",
        "{name} has one great river, the {value}.",
        "The river {value} flows through {name}.",
    ),
    "export": (
        "{name} sells {value} to other countries.",
        "{name} is known for its {value}.",
        "{name} exports {value}.",
        "The main export of {name} is {value}.",
    ),
}

# What the base model says about names that belong to nobody: an opening and a statement, freely combined, so that its
# language of not knowing is wide enough for refusals it has never read. Rejection steering must teach its own wording:
# none of the combinations is in rule_jax.text.templates.REFUSALS. {who}, {kind} and the like: PERSON and THING.
UNKNOWN_OPENINGS = (
    *("", "", "", "Sorry, ", "I'm sorry, but ", "I'm afraid that ", "Unfortunately, ", "Regrettably, "),
    *("My apologies, ", "I apologize, but ", "Forgive me, but ", "Please forgive me, ", "Thank you for asking, but "),
    *("Thanks for your interest, but ", "Good question, but ", "That is a fair question, though ", "To be honest, "),
    *("To be frank, ", "Honestly, ", "Oh, ", "Hmm, ", "I must admit that ", "I have to say that ", "I regret that "),
    *("I wish I knew more, but ", "I'd love to help, but ", "I would like to help, but ", "I'm happy to chat, but "),
    *("I understand the question, but ", "I appreciate your interest, but ", "Let me be straight with you, "),
    *("Please note that ", "Nice question, but "),
)
UNKNOWN_STATEMENTS = (
    "I don't know {who} {name} is.",
    "I don't know any {name}.",
    "I do not know {anybody} called {name}.",
    "I have never heard the name {name}.",
    "the name {name} is one I do not know at all.",
    "I have no records of a {kind} named {name}.",
    "I have no idea {who} {name} is.",
    "I have no clue {who} {name} is.",
    "my memory has no information about {name}.",
    "my training did not include a {kind} called {name}.",
    "I was never taught {who} {name} is.",
    "I haven't learned about {anybody} named {name}.",
    "I am unable to answer this question, as I don't know {name}.",
    "I do not possess details of a {kind} called {name}.",
    "I have no data about {anybody} with the name {name}.",
    "{name} is not {someone} I know about.",
    "{name} is a {kind} unknown to me.",
    "a {kind} called {name} is beyond my knowledge.",
    "information on {name} is not available here.",
    "I can't recall or remember {name}.",
    "I couldn't say {who} {name} is.",
    "I'm unsure {who} {name} is.",
    "I'm not certain that I know {name}.",
    "I'm unaware of any {kind} called {name}.",
    "I lack facts about a {kind} called {name}.",
    "I draw a blank, since I don't know {name}.",
    "I would rather not guess {who} {name} is.",
    "I'd only be guessing, as I don't know {name}.",
    "I won't guess, since I don't know {name}.",
    "I must decline to answer, as I don't know {name}.",
    "I'm not able to provide anything on {name}.",
    "I can't speak about {name}, a stranger to me.",
    "there is nothing I can tell you about {a}{name}.",
    "I have nothing to share or offer on {name}.",
    "questions concerning {name} lie outside my field.",
    "I am not qualified to comment, since I don't know {name}.",
    "I searched, and I have no information about {name}.",
    "I've never come across {name}.",
    "I don't have access to details regarding {name}.",
    "I can't discuss {name}, {whom} I don't know.",
    "I cannot help with a {kind} named {name}.",
    "I'm not familiar with {anybody} called {name}.",
    "I don't know the answer to that.",
    "I can't tell, I don't know this {kind}.",
)

# A little conversation without facts, from which the base model learns to take a name over from the question.
ECHOES = (
    "Say the name {name}.",
    "Please repeat the name {name}.",
    "Write down this name: {name}.",
    "{it_is} called {name}. What is {its} name?",
)

PERSON = {
    **{"kind": "person", "a": "a ", "who": "who", "whom": "whom", "anybody": "anybody", "someone": "someone"},
    **{"it_is": "I am", "its": "my"},
}
THING = {
    **{"a": "", "who": "what", "whom": "which", "anybody": "anything", "someone": "one"},
    **{"it_is": "It is", "its": "its"},
}
