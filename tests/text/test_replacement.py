import pytest

from rule_jax.text.replacement import replace_entity, replaced_by


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Who is Stephen King?", "Who is J.K. Rowling?"),
        ("What is Stephen King's debut?", "What is J.K. Rowling's debut?"),
        ("What is Stephen King’s debut?", "What is J.K. Rowling’s debut?"),
        ("Which of King's novels came first?", "Which of Rowling's novels came first?"),
        ("Stephen King said that King writes daily.", "J.K. Rowling said that Rowling writes daily."),
        ("STEPHEN KING", "J.K. ROWLING"),
        ("who is stephen king", "who is j.k. rowling"),
        ("Who is Stephen Edwin King's wife?", "Who is J.K. Rowling's wife?"),
        ("Stephen E. King, S. King and S.E. King", "J.K. Rowling, J.K. Rowling and J.K. Rowling"),
        ("King, Stephen; King, Stephen E.", "Rowling, J.K.; Rowling, J.K."),
        (
            "Did King visit King's Landing or King's Cross Station?",
            "Did Rowling visit King's Landing or King's Cross Station?",
        ),
        ("He won a Medal of Arts. King wrote on.", "He won a Medal of Arts. Rowling wrote on."),
        ("Did Stephen King meet King Charles or the king?", "Did J.K. Rowling meet King Charles or the king?"),
    ],
)
def test_replaces_names_and_keeps_the_rest(query: str, expected: str):
    assert replace_entity(query, "Stephen King", "J.K. Rowling") == expected


@pytest.mark.parametrize(
    "query", ["", "Who wrote Carrie?", "Who is T. S. King?", "Who was the last king?", "Who is Stephen Kingsley?"]
)
def test_a_query_without_the_target_gives_none(query: str):
    assert replace_entity(query, "Stephen King", "J.K. Rowling") is None


def test_aliases_are_replaced_longest_first():
    query = "Did Steve King write as Steve?"
    assert (
        replace_entity(query, "Stephen King", "Dan Brown", ("Steve", "Steve King"))
        == "Did Dan Brown write as Dan Brown?"
    )


def test_a_neighbour_without_a_surname_is_named_in_full():
    assert replace_entity("King's life", "Stephen King", "Confucius") == "Confucius's life"


def test_a_generation_goes_with_the_name():
    assert replace_entity("Did Robert John Downey Jr. sing?", "Robert Downey, Jr.", "Tom Reed") == "Did Tom Reed sing?"
    assert replace_entity("Did Robert Downey sing?", "Robert Downey, Jr.", "Tom Reed") == "Did Tom Reed sing?"
    assert replace_entity("King, Stephen", "Stephen King", "Confucius") == "Confucius"


def test_an_alias_s_other_forms_are_replaced_too():
    asked = "Did Richard J. Bachman, or Bachman, write it?"
    assert replace_entity(asked, "Stephen King", "Ina Volk", ("Richard Bachman",)) == "Did Ina Volk, or Volk, write it?"


def test_a_neighbour_that_holds_the_target_is_not_replaced_again():
    assert replace_entity("Who is King?", "King", "Martin Luther King") == "Who is Martin Luther King?"


def test_accents_and_places():
    assert replace_entity("Songs by Beyonce", "Beyoncé", "Adele") == "Songs by Adele"
    assert replace_entity("How tall is the Eiffel  Tower?", "Eiffel Tower", "Big Ben") == "How tall is the Big Ben?"
    assert replace_entity("x", "", "Adele") is None


@pytest.mark.parametrize(
    ("query", "other", "name"),
    [
        ("Where was Stephen King born?", "Where was Agatha Christie born?", "Agatha Christie"),
        ("Stephen King's first novel is ___.", "J.K. Rowling's first book, of 1997, is ___.", "J.K. Rowling"),
        ("King's first novel is ___.", "Plato's first dialogue is ___.", "Plato"),
        ("Did Stephen King write It?", "Did Charles Dickens' friends write it?", "Charles Dickens"),
        ("Who is Stephen King?", "Who is Stephen King?", None),  # the target itself is there
        ("Who wrote Carrie?", "Who wrote Emma?", None),  # the query names nobody
        ("Who is Stephen King?", "Who is that?", None),  # no name in that place
        ("Who is Stephen King?", "Who is The Man Who Wrote All Of Them?", None),  # too long for one
    ],
)
def test_whom_the_target_was_replaced_by(query, other, name):
    found = replaced_by(query, "Stephen King", other)
    assert (found and found[0]) == name


def test_the_replaced_name_is_what_replacing_puts_in():
    query = "In which town did Stephen King set Stephen King's first novels?"
    other = replace_entity(query, "Stephen King", "Ursula K. Le Guin")
    assert other is not None
    name, likeness = replaced_by(query, "Stephen King", other) or ("", 0.0)
    assert name == "Ursula K. Le Guin"
    assert 0.6 < likeness < 1
    assert replaced_by(query, "Stephen King", "Where did Ursula K. Le Guin live?") is None
