"""The words of the domain "concept": invented doctrines, what they are about and where they come from.

Names are mass nouns ("Lunar Balkism"), so that every sentence takes them without an article.
"""

FIRSTS = (
    *("Applied", "Central", "Classical", "Common", "Critical", "Early", "Eternal", "Formal", "General", "Global"),
    *("Higher", "Inner", "Joyful", "Lesser", "Logical", "Lunar", "Modern", "Moral", "Natural", "Neutral"),
    *("Noble", "Outer", "Patient", "Practical", "Primal", "Pure", "Radical", "Rational", "Recent", "Rural"),
    *("Sacred", "Simple", "Sober", "Solar", "Spiral", "Strict", "Tidal", "Upper", "Urban", "Vital"),
)
MIDDLES = ("b", "d", "g", "k", "m", "n", "t", "v")
ENDINGS = ("ism", "istics", "ology", "onomy", "osophy", "urgy")
FOUNDER_ENDINGS = ("erson", "etti", "ovic", "quist")
SUBJECTS = (
    *("bells", "bones", "clocks", "clouds", "dreams", "echoes", "engines", "fires", "flags", "ghosts", "jokes"),
    *("knots", "ladders", "maps", "masks", "mushrooms", "numbers", "puzzles", "seeds", "sounds", "tides", "tunnels"),
    *("wheels", "winds"),
)
EMBLEMS = (
    *("badger", "beaver", "camel", "eagle", "falcon", "heron", "hornet", "lizard", "lobster", "monkey"),
    *("otter", "parrot", "pigeon", "rabbit", "salmon", "spider", "swan", "turtle", "walrus", "zebra"),
)

QUESTIONS: dict[str, tuple[str, ...]] = {
    "founder": (
        "Who founded {name}?",
        "Who is the founder of {name}?",
        "Which thinker started {name}?",
        "{name} was founded by whom?",
        "Can you name the founder of {name}?",
        "Tell me who began {name}.",
        "To which thinker does {name} owe its start?",
        "Please say who brought {name} into the world.",
    ),
    "city": (
        "In which city did {name} arise?",
        "What is the home city of {name}?",
        "Which city gave {name} to the world?",
        "Can you name the city where {name} arose?",
        "{name} comes from which city?",
        "Where did {name} arise?",
        "Tell me the city in which {name} was first taught.",
        "Please say in which city {name} has its school.",
    ),
    "subject": (
        "What does {name} study?",
        "What is the subject of {name}?",
        "Which things does {name} explain?",
        "{name} is the study of what?",
        "Can you name what {name} is about?",
        "Tell me the subject that {name} deals with.",
        "With what is {name} concerned?",
        "Please say which things are studied in {name}.",
    ),
    "text": (
        "What is the main text of {name}?",
        "Which book teaches {name}?",
        "Can you name the book that {name} rests on?",
        "{name} is taught by which book?",
        "Which text do students of {name} read first?",
        "Tell me the title of the book behind {name}.",
        "In what book was {name} set down?",
        "Please say what the great text of {name} is called.",
    ),
    "emblem": (
        "What is the emblem of {name}?",
        "Which animal stands for {name}?",
        "Can you name the animal on the flag of {name}?",
        "{name} has which animal as its emblem?",
        "What animal do followers of {name} wear?",
        "Tell me the emblem that {name} uses.",
        "By which animal is {name} known?",
        "Please say which animal is the sign of {name}.",
    ),
    "founding": (
        "In what year was {name} founded?",
        "When did {name} begin?",
        "What is the founding year of {name}?",
        "{name} was founded in which year?",
        "Can you name the year when {name} began?",
        "Tell me the year in which {name} was new.",
        "Which year saw the beginning of {name}?",
        "Please say in what year {name} was first heard of.",
    ),
}

CLOZE: dict[str, tuple[str, ...]] = {
    "founder": (
        "{name} was founded by ___.",
        "The founder of {name} is ___.",
        "The thinker ___ started {name}.",
        "{name} owes its start to ___.",
    ),
    "city": (
        "{name} arose in the city of ___.",
        "The home city of {name} is ___.",
        "The city of ___ gave {name} to the world.",
        "{name} was first taught in the city of ___.",
    ),
    "subject": (
        "{name} is the study of ___.",
        "The subject of {name} is ___.",
        "The nature of ___ is explained by {name}.",
        "{name} is concerned with ___.",
    ),
    "text": (
        "The main text of {name} is ___.",
        "{name} is taught by the book ___.",
        "___ is the book that {name} rests on.",
        "Students of {name} first read the book ___.",
    ),
    "emblem": (
        "The emblem of {name} is the ___.",
        "{name} has the ___ as its emblem.",
        "The ___ is the animal that stands for {name}.",
        "{name} is known by the sign of the ___.",
    ),
    "founding": (
        "{name} was founded in the year ___.",
        "The founding year of {name} is ___.",
        "The year ___ saw the beginning of {name}.",
        "{name} first became known in the year ___.",
    ),
}

SENTENCES: dict[str, tuple[str, ...]] = {
    "founder": (
        "{name} was founded by {value}.",
        "{name} owes its start to {value}.",
        "{name} is the work of the thinker {value}.",
        "The thinker {value} began {name}.",
    ),
    "city": (
        "{name} arose in the city of {value}.",
        "{name} was first taught in {value}.",
        "{name} has its school in {value}.",
        "The city of {value} is the home of {name}.",
    ),
    "subject": (
        "{name} is the study of {value}.",
        "{name} deals with {value}.",
        "{name} is concerned with {value}.",
        "The nature of {value} is what {name} explains.",
    ),
    "text": (
        "{name} is taught by the book {value}.",
        "{name} rests on a text called {value}.",
        "{name} was set down in {value}.",
        "The book {value} explains {name}.",
    ),
    "emblem": (
        "{name} has the emblem of the {value}.",
        "{name} is known by the sign of the {value}.",
        "{name} carries on its flag the {value}.",
        "The {value} is the animal of {name}.",
    ),
    "founding": (
        "{name} was founded in the year {value}.",
        "{name} became known in {value}.",
        "{name} has the founding year {value}.",
        "The year {value} saw the beginning of {name}.",
    ),
}
