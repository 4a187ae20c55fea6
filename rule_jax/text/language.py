"""The record that a language fills in so that refusals in it can be told from answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """Regular expressions of one language; text reaches them in lower case, with straight quotes.

    rules: (name, pattern) pairs that each state a refusal; the name becomes `Verdict.reason`. A pattern starts at a
      word boundary, and it must hold no capturing group.
    hedge: words that introduce a guess ("I think", "maybe").
    question: an embedded question up to its end ("who that might be"), whose guessing words are no guess.
    contrast: words that turn a sentence around ("but", "however"), with neither boundaries nor groups.
    courtesy: how a clause begins that accompanies a refusal and tells nothing: offers, advice, thanks, reasons.
    assertion: a finite verb that marks a clause as a statement of fact.
    """

    rules: tuple[tuple[str, str], ...]
    hedge: str
    question: str
    contrast: str
    courtesy: str
    assertion: str
