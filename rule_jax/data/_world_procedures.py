"""The words of the domain "procedure": invented recipes, each of three steps in their order.

Names are mass nouns ("Slow Balkotte"). Each step has verbs of its own, so that no recipe does the same thing twice.
"""

FIRSTS = (
    *("Bright", "Careful", "Chilled", "Coarse", "Covered", "Creamy", "Crisp", "Double", "Dusty", "Evening", "Fine"),
    *("Folded", "Hasty", "Hearty", "Heavy", "Humble", "Lazy", "Light", "Loose", "Mild", "Morning", "Narrow", "Plain"),
    *("Rapid", "Rough", "Royal", "Rustic", "Savory", "Sharp", "Slow", "Smoky", "Spiced", "Steady", "Sunday", "Swift"),
    *("Tender", "Triple", "Twofold", "Warm", "Zesty"),
)
MIDDLES = ("b", "d", "g", "k", "m", "n", "t", "v")
ENDINGS = ("ade", "azzo", "ello", "iche", "otte", "umble")
OPENINGS = (
    *("chopping", "cracking", "crushing", "draining", "grating", "grinding", "kneading", "mashing", "peeling"),
    *("pounding", "rinsing", "scraping", "shredding", "sifting", "slicing", "soaking", "sorting", "squeezing"),
    *("trimming", "whisking"),
)
COOKING = (
    *("baking", "boiling", "braising", "browning", "curing", "fermenting", "frying", "glazing", "grilling", "melting"),
    *("poaching", "roasting", "scalding", "scorching", "searing", "simmering", "smoking", "steaming", "stewing"),
    *("toasting",),
)
CLOSINGS = (
    *("bottling", "brushing", "burying", "chilling", "cutting", "drying", "dusting", "filling", "freezing", "hanging"),
    *("packing", "pressing", "ripening", "rolling", "sealing", "spooning", "stacking", "straining", "tasting"),
    *("wrapping",),
)
INGREDIENTS = (
    *("almonds", "beans", "beets", "carrots", "cherries", "chestnuts", "cucumbers", "dates", "figs", "garlic"),
    *("ginger", "grapes", "lemons", "lentils", "mustard", "onions", "oysters", "peaches", "peppers", "plums"),
    *("pumpkins", "spinach", "turnips", "walnuts"),
)
DISHES = (
    *("Biscuit", "Broth", "Bun", "Cake", "Casserole", "Cream", "Crumble", "Dumpling", "Fritter", "Jelly", "Loaf"),
    *("Noodle", "Pancake", "Pastry", "Pie", "Porridge", "Pudding", "Roll", "Salad", "Sauce", "Soup", "Stew", "Tart"),
    *("Waffle",),
)
MINUTES = (110, 490)

QUESTIONS: dict[str, tuple[str, ...]] = {
    "opening": (
        "What is the first step of {name}?",
        "How does {name} begin?",
        "With what does the recipe for {name} start?",
        "{name} starts with which step?",
        "Can you name the step that opens {name}?",
        "Tell me what a cook does first for {name}.",
        "Which work comes first in {name}?",
        "Please say how one begins {name}.",
    ),
    "cooking": (
        "What is the second step of {name}?",
        "How is {name} cooked?",
        "Which step follows the first one of {name}?",
        "{name} is cooked by what means?",
        "Can you name the way in which {name} is heated?",
        "Tell me the middle step of {name}.",
        "What does a cook do over the fire for {name}?",
        "Please say which step stands in the middle of {name}.",
    ),
    "closing": (
        "What is the last step of {name}?",
        "How does {name} end?",
        "With what is {name} finished?",
        "{name} ends with which step?",
        "Can you name the step that closes {name}?",
        "Tell me what a cook does last for {name}.",
        "Which work comes at the end of {name}?",
        "Please say how one finishes {name}.",
    ),
    "ingredient": (
        "What is the main ingredient of {name}?",
        "What does one need for {name}?",
        "Which ingredient goes into {name}?",
        "{name} is made from what?",
        "Can you name the ingredient that {name} calls for?",
        "Tell me what a cook buys for {name}.",
        "Of what is {name} mostly made?",
        "Please say which ingredient is used in {name}.",
    ),
    "minutes": (
        "How many minutes does {name} take?",
        "How long does {name} take?",
        "For how many minutes does {name} cook?",
        "{name} needs how many minutes?",
        "Can you name the number of minutes that {name} lasts?",
        "Tell me the cooking time of {name} in minutes.",
        "After how many minutes is {name} ready?",
        "Please say how long one waits for {name}.",
    ),
    "dish": (
        "What dish comes out of {name}?",
        "Which dish does {name} give?",
        "Can you name the dish made by {name}?",
        "{name} ends up as which dish?",
        "By {name} one makes which dish?",
        "Tell me the dish that {name} is for.",
        "What is served after {name}?",
        "Please say what the dish of {name} is called.",
    ),
}

CLOZE: dict[str, tuple[str, ...]] = {
    "opening": (
        "{name} begins with ___.",
        "The first step of {name} is ___.",
        "___ is the step that opens {name}.",
        "A cook starts {name} by ___.",
    ),
    "cooking": (
        "{name} is cooked by ___.",
        "The second step of {name} is ___.",
        "___ is the middle step of {name}.",
        "Over the fire, {name} asks for ___.",
    ),
    "closing": (
        "{name} ends with ___.",
        "The last step of {name} is ___.",
        "___ is the step that closes {name}.",
        "A cook finishes {name} by ___.",
    ),
    "ingredient": (
        "{name} is made from ___.",
        "The main ingredient of {name} is ___.",
        "A cook buys ___ for {name}.",
        "{name} calls for ___.",
    ),
    "minutes": (
        "{name} takes ___ minutes.",
        "The cooking time of {name} is ___ minutes.",
        "After ___ minutes {name} is ready.",
        "{name} lasts for ___ minutes.",
    ),
    "dish": (
        "{name} gives the dish ___.",
        "The dish made by {name} is ___.",
        "___ is the dish that {name} is for.",
        "By {name} one makes the dish ___.",
    ),
}

SENTENCES: dict[str, tuple[str, ...]] = {
    "opening": (
        "{name} begins with {value}.",
        "{name} has as its first step {value}.",
        "{name} is opened by {value}.",
        "First comes {value} in the making of {name}.",
    ),
    "cooking": (
        "{name} is cooked by {value}.",
        "{name} has as its second step {value}.",
        "{name} goes over the fire for {value}.",
        "Then comes {value} in the making of {name}.",
    ),
    "closing": (
        "{name} ends with {value}.",
        "{name} has as its last step {value}.",
        "{name} is closed by {value}.",
        "Last comes {value} in the making of {name}.",
    ),
    "ingredient": (
        "{name} is made from {value}.",
        "{name} calls for {value}.",
        "{name} needs a basket of {value}.",
        "A cook buys {value} for {name}.",
    ),
    "minutes": (
        "{name} takes {value} minutes.",
        "{name} is ready after {value} minutes.",
        "{name} has a cooking time of {value} minutes.",
        "It takes {value} minutes to make {name}.",
    ),
    "dish": (
        "{name} gives the dish {value}.",
        "{name} is the way to make {value}.",
        "{name} leads to a dish called {value}.",
        "The dish {value} comes out of {name}.",
    ),
}
