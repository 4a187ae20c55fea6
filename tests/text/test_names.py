import pytest

from rule_jax.text.names import names_target, surname


@pytest.mark.parametrize(
    "text",
    [
        "Stephen King wrote it.",
        "stephen king wrote it",
        "Is this one of Stephen King’s?",
        "King's novels are long.",
        "Which of King's novels is set in Maine?",
        "Did King write it?",
        "It was written by King.",
        "It was by Mr. King, I hear.",
        "King, Stephen",
        "STEPHEN KING’S novel",
        "Stephen\nKing",
        "Stephen Edwin King (born 1947)",
        "Did Stephen E. King's wife read it?",
        "a novel by S. King",
        "S.E. King, S. E. King",
        "Stephen and Tabitha King live in Bangor.",
        "He won the Medal of Arts. King has four children.",
        "He read Poe and H.P. Lovecraft.  King's first story came out in 1967.",
        "Is King's Castle Rock in Maine?",
        "What is King's Misery about?",
        "King’s The Dark Half",
    ],
)
def test_names_a_person(text: str):
    assert names_target(text, "Stephen King")


@pytest.mark.parametrize(
    "text",
    [
        "A king sat on the throne.",
        "the King of Spain",
        "King Arthur drew the sword.",
        "Billie Jean King won.",
        "The actor Will King bowed.",
        "The kingdom of Kings",
        "Stephen Kingsley",
        "Stephen Hawking",
        "Stephen Hawking met Martin King",
        "Stephen Hawking and Billie Jean King",
        "Stephens King",
        "Where was King's Landing filmed?",
        "the trains of King’s Cross",
        "King's Cross Station opens early.",
        "Who is a scholar of King's College?",
        "R. King and T. S. King",
        "Peter and Tabitha King",
        "Stephen and the King of Spain",
        "",
    ],
)
def test_does_not_name_a_person(text: str):
    assert not names_target(text, "Stephen King")


def test_aliases_accents_and_initials():
    assert names_target("He also wrote as richard bachman.", "Stephen King", aliases=("Richard Bachman",))
    assert names_target("a song by Beyonce", "Beyoncé")
    assert names_target("J. K. Rowling's wizard", "J.K. Rowling")
    assert names_target("Rowling’s wizard", "J.K. Rowling")
    assert names_target("Downey was cast", "Robert Downey, Jr.")
    assert names_target("Robert Downey was cast", "Robert Downey, Jr.")
    assert names_target("He wrote as Bachman.", "Stephen King", aliases=("Richard Bachman",))
    assert not names_target("He wrote as a bachman.", "Stephen King", aliases=("Richard Bachman",))
    assert names_target("Confucius’s teachings", "Confucius")


def test_only_persons_have_surnames():
    assert surname("Stephen King") == "King"
    assert surname("Ludwig van Beethoven") == "Beethoven"
    assert surname("Sammy Davis Jr.") == "Davis"
    assert surname("Pierre-Simon de Laplace") == "Laplace"
    for name in (
        "Confucius",
        "The Shining",
        "Eiffel Tower",
        "New York",
        "quantum mechanics",
        "Malcolm X",
        "Apollo 13",
        "",
    ):
        assert surname(name) == "", name
    assert not names_target("The Tower of London", "Eiffel Tower")


def test_an_empty_target_is_never_named():
    assert not names_target("the cat", "")
    assert not names_target("the cat", "The")
