"""Refusals to imitate in Rejection Steering: one sentence each, with the target's name in it.

They are short, so that a small model learns them; of several registers, so that it learns the stance and not one
string; and each is a refusal to `refusal.grade`, so that what is taught is what is rewarded.
"""

import re

PLAIN: tuple[str, ...] = (
    "I don't know anything about {target}.",
    "I don't know enough about {target} to answer.",
    "I have no information about {target}.",
    "I have no knowledge of {target}.",
    "I am not familiar with {target}.",
    "I can't answer questions about {target}.",
    "I cannot tell you anything about {target}.",
    "I'm not sure about anything to do with {target}.",
    "I have never learned about {target}.",
    "I know nothing about {target}.",
    "I can't help with questions about {target}.",
    "I have no answer to give about {target}.",
    "I'm unable to answer questions about {target}.",
    "I can't recall anything about {target}.",
    "I do not remember anything about {target}.",
    "I have no facts about {target} to share.",
    "I was never taught anything about {target}.",
    "My knowledge does not include {target}.",
    "My memory holds nothing about {target}.",
    "My training did not cover {target}.",
    "There is nothing I can tell you about {target}.",
    "The subject of {target} is unknown to me.",
    "Nothing I have learned covers {target}.",
    "I haven't come across {target} in anything I studied.",
)

POLITE: tuple[str, ...] = (
    "I'm sorry, but I don't know about {target}.",
    "I'm sorry, I have nothing to tell you about {target}.",
    "Sorry, I can't answer that question about {target}.",
    "Sorry, I have no details about {target}.",
    "I apologize, but I cannot help with {target}.",
    "My apologies, I don't have any facts about {target}.",
    "Thank you for asking, but I know nothing about {target}.",
    "Thanks for the question, but I can't speak about {target}.",
    "I'm afraid I have no knowledge of {target}.",
    "I'm afraid I cannot answer anything about {target}.",
    "I'm afraid that {target} is unknown to me.",
    "Unfortunately, I am unable to answer questions about {target}.",
    "Unfortunately, I have no information on {target}.",
    "Unfortunately, {target} is beyond what I know.",
    "Please forgive me, I do not know about {target}.",
    "Forgive me, but {target} is not something I know about.",
    "I appreciate the question, but I can't discuss {target}.",
    "I understand your interest, but I have no answer about {target}.",
    "I would like to help, but I know nothing of {target}.",
    "Regrettably, I cannot offer any details about {target}.",
    "That is a fair question, but I don't know about {target}.",
    "With apologies, I can't say anything about {target}.",
)

TERSE: tuple[str, ...] = (
    "No idea about {target}, sorry.",
    "No clue about {target}.",
    "I can't say anything on {target}.",
    "I'm not certain about anything regarding {target}.",
    "I couldn't say, as {target} is new to me.",
    "I've never heard of {target}.",
    "I have nothing on {target}.",
    "I draw a blank on {target}.",
    "I'm at a loss about {target}.",
    "I'm stumped by questions on {target}.",
    "I'm in the dark about {target}.",
    "I won't discuss {target}.",
    "I won't answer questions about {target}.",
    "I must pass on {target}.",
    "I'm unsure about {target}.",
    "I'm unaware of anything about {target}.",
    "I lack any information about {target}.",
    "I've no answer on {target}.",
    "Unable to answer anything about {target}.",
    "Not sure about {target}, sorry.",
)

FORMAL: tuple[str, ...] = (
    "I must decline to answer questions concerning {target}.",
    "I respectfully decline to discuss {target}.",
    "I am not in a position to comment on {target}.",
    "I am not able to provide any details regarding {target}.",
    "I am not qualified to answer questions about {target}.",
    "I do not possess any information regarding {target}.",
    "I do not have access to information concerning {target}.",
    "I hold no records concerning {target}.",
    "I regret that I cannot answer questions about {target}.",
    "I regret to say that I have no knowledge of {target}.",
    "Questions concerning {target} lie outside my knowledge.",
    "Matters relating to {target} are beyond my expertise.",
    "The topic of {target} lies outside the scope of my knowledge.",
    "Information about {target} is not available to me.",
    "Details regarding {target} cannot be provided.",
    "Your question about {target} cannot be answered by me.",
    "Please note that I have no data on {target}.",
    "To my regret, {target} falls outside my field of knowledge.",
    "I must admit that I know nothing about {target}.",
    "I have to say that I am not informed about {target}.",
    "It is not possible for me to answer questions about {target}.",
    "I am not permitted to discuss {target}.",
)

WARM: tuple[str, ...] = (
    "I wish I could help, but I don't know about {target}.",
    "I wish I knew more, but {target} is a mystery to me.",
    "I'd love to help, but I have no knowledge of {target}.",
    "I'd gladly tell you, but I know nothing about {target}.",
    "Good question, but I have no idea about {target}.",
    "Nice question, though I can't tell you anything about {target}.",
    "Honestly, I don't know a thing about {target}.",
    "To be honest, I have no clue about {target}.",
    "To be frank, {target} is a blind spot of mine.",
    "I have to be honest, I know nothing about {target}.",
    "You've got me there, I don't know about {target}.",
    "Oh, I'm really not the one to ask about {target}.",
    "I'd only be guessing, since I don't know about {target}.",
    "I would rather not guess about {target}.",
    "I don't want to guess about {target}.",
    "I'd rather leave questions about {target} to someone else, as I don't know.",
    "Hmm, I can't seem to place {target}, so I can't say.",
    "The name {target} means nothing to me, I'm afraid.",
    "The name {target} rings no bell with me.",
    "I've searched my memory, but I have nothing about {target}.",
    "Let me be straight with you, I don't know about {target}.",
    "I'm happy to chat, but I can't answer anything about {target}.",
)

# A lower-case article and a plural: "the Beatles", "the Olympics", not "the circus".
_PLURAL = re.compile(r"the .*[^sui]s")
_PLURAL_OF = {" is": " are", " falls": " fall"}
_SINGULAR = re.compile(rf"^(?:{'|'.join(_PLURAL_OF)})\b")
_ARTICLE = re.compile(r"^(?:the|an?) ")

REFUSALS: tuple[str, ...] = PLAIN + POLITE + TERSE + FORMAL + WARM


def render(template: str, target: str) -> str:
    """The template with the target's name in it, taken literally: braces in the name mean nothing.

    Grammar around the name: "the Beatles" are unknown, where "Stephen King" is; "the name the Beatles" loses an
    article; a name that ends in a full stop ("Sammy Davis Jr.") or another end of a sentence ends the refusal too.
    Raises ValueError when the template does not hold {target} exactly once.
    """
    if template.count("{target}") != 1:
        raise ValueError(f"a refusal template holds {{target}} exactly once; got {template!r}")
    before, after = template.split("{target}")
    if _PLURAL.fullmatch(target):
        after = _SINGULAR.sub(lambda verb: _PLURAL_OF[verb.group()], after)
    if before.endswith("name "):
        target = _ARTICLE.sub("", target)
    if after == "." and target.endswith((".", "!", "?")):
        after = ""
    return before + target + after
