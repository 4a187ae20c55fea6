"""The German refusal patterns: data for `refusal.py`, which explains each field and compiles them once.

The finite verb and "ich" change places ("ich weiß", "das weiß ich"), and the negation and the infinitive stand far to
the right; so a rule gives both orders and lets a clause's other words stand between. A comma ends that, for what
follows it is another clause ("ich kann sagen, dass er nicht ...").
"""

from rule_jax.text.language import Language

_GAP = r"[^.,;:!?\"]{0,70}?\b"  # words of the same clause
_NOT = r"(?:nicht(?! nur)|nichts|nie|niemals|wenig|kein(?:e|en|er|em|es|erlei)?)\b"
_SPEAK = (
    r"(?:beantworten|antworten|sagen|helfen|weiterhelfen|mitteilen|verraten|erzählen|geben|machen|äußern|sprechen|reden|"
    r"besprechen|preisgeben|offenlegen|nennen|dienen|bestätigen|beurteilen|erinnern|teilen|liefern|bieten|anbieten|raten|"
    r"spekulieren|diskutieren|behilflich|kommentieren|treffen|beitragen|anstellen|anfangen|erteilen|einordnen)\b"
)
_FACTS = (
    r"(?:information(?:en)?|infos?|wissen|kenntnis(?:se)?|ahnung|daten|angaben?|antwort|auskunft|einzelheiten|details|"
    r"unterlagen|aufzeichnungen|zugriff|zugang|schimmer|vorstellung|erinnerung(?:en)?|fakten|quellen?|gehört|gelernt|"
    r"erfahren|mitbekommen|parat|zu sagen|beizutragen)\b"
)
_MIND = (
    r"(?:wissen|wissens|wissensstand|kenntnis|kenntnisse|training|trainingsdaten|gedächtnis|gedächtnisses|datenbank|daten|"
    r"richtlinien|vorgaben|unterlagen|erinnerung|möglichkeiten|\w*gebiete?s?|\w*bereich(?:e?s)?|horizonts?|zuständigkeit|"
    r"reichweite|quellen)\b"
)
_MINE = r"(?:mein|unser)(?:e|es|er|em|en)?\s+"

_RULES = (
    # "ich kann dazu nichts sagen", "das darf ich nicht beantworten"
    (
        "unable",
        rf"(?:ich (?:kann|könnte|darf|will|werde|möchte|mag)|(?:kann|könnte|darf|will|werde|möchte|mag) ich)\b"
        rf"{_GAP}{_NOT}(?:\s*(?:[.!,;]|$)|{_GAP}{_SPEAK})"
        rf"|(?:ich bin|bin ich){_GAP}(?:außerstande|nicht (?:in der lage|befugt|berechtigt|imstande|befähigt|"
        r"ermächtigt))\b",
    ),
    # "da muss ich passen", "ich lehne es ab"
    (
        "decline",
        r"(?:ich muss|muss ich)\b[^.,;:!?]{0,60}?\b(?:passen|ablehnen|schweigen|verweigern)\b"
        r"|(?:ich lehne|lehne ich)\b[^.,;:!?]{0,40}?\bab\b|(?:ich verweigere|verweigere ich|ich enthalte mich)\b"
        r"|(?:lassen sie|lass) uns\b[^.;:!?]{0,40}?\b(?:etwas anderes|das thema wechseln)",
    ),
    # "ich weiß es nicht", "davon habe ich nie gehört", "mir ist nichts bekannt"
    (
        "ignorant",
        rf"(?:ich (?:wei(?:ß|ss)|kenne|erinnere mich|entsinne mich)|(?:wei(?:ß|ss)|kenne|erinnere) ich)\b{_GAP}{_NOT}"
        rf"|(?:ich (?:habe?|besitze|verfüge)|(?:habe?|besitze|verfüge) ich)\b{_GAP}{_NOT}(?! lieber){_GAP}{_FACTS}"
        rf"|(?:mir|uns) (?:ist|sind|war|liegen|liegt|sagt|fällt|wurde)\b{_GAP}{_NOT}"
        rf"|(?:ist|sind|war|liegen|liegt|sagt|fällt|wurde) (?:mir|uns)\b{_GAP}(?:{_NOT}|unbekannt\b|fremd\b|neu\b)"
        rf"|(?:mir|uns) (?:ist|sind)\b{_GAP}(?:unbekannt|fremd)\b"
        rf"|(?:mir fehl(?:t|en)|fehl(?:t|en) mir)\b{_GAP}{_FACTS}"
        rf"|ich\b{_GAP}und (?:wei(?:ß|ss)|kenne|habe)\b{_GAP}{_NOT}",
    ),
    # "ich bin mir nicht sicher", "da bin ich überfragt"
    (
        "unsure",
        rf"(?:ich bin|bin ich)\b{_GAP}(?:nicht (?:\w+ )?(?:sicher|informiert|vertraut|im bilde)|unsicher|überfragt|"
        r"ratlos|ahnungslos|kein experte|keine expertin)\b|(?:sicher|gewiss) bin ich(?: mir)? nicht\b",
    ),
    # "das liegt außerhalb meines Wissens", "mein Training umfasst das nicht"
    (
        "limits",
        rf"(?:außerhalb|jenseits)(?: von)? {_MINE}(?:\w+ )?{_MIND}"
        rf"|(?:übersteig(?:t|en)|überschreite(?:t|n)|spreng(?:t|en)) {_MINE}{_MIND}|entzieht sich {_MINE}kenntnis\b"
        rf"|nicht\b[^.,;:!?]{{0,20}}?\b(?:zu|in|unter|von|teil) {_MINE}(?:\w+ )?{_MIND}"
        rf"|(?:in |zu )?{_MINE}(?:\w+ )?{_MIND}{_GAP}(?:{_NOT}|verbieten|verbietet|untersag(?:t|en)|endet|enden)",
    ),
    # "diese Anfrage kann nicht beantwortet werden"
    (
        "policy",
        r"(?:frage|anfrage|bitte|auskunft|auskünfte|information|informationen|angaben)\b[^.,;:!?]{0,60}?\b(?:kann|können|"
        r"darf|dürfen)\b[^.,;:!?]{0,30}?\bnicht (?:\w+ )?(?:beantwortet|erteilt|bearbeitet|gegeben|weitergegeben|"
        r"mitgeteilt|erfüllt) werden\b",
    ),
    # "Keine Ahnung.": only where a sentence opens
    (
        "fragment",
        r"(?:(?<=^)|(?<=[.!?;,] ))(?:keine (?:ahnung|angaben?|auskunft)|kein kommentar|(?:noch )?nie (?:davon )?gehört|"
        r"wei(?:ß|ss) nicht|nicht sicher|mir unbekannt)\b(?! (?:war|ist|wird|hat|hatte|blieb)\b)",
    ),
)

GERMAN = Language(
    rules=_RULES,
    hedge=(
        r"\b(?:ich (?:glaube|denke|vermute|schätze|nehme an|tippe)(?! (?:nicht|sie|ich)\b)|glaube ich|vermutlich|"
        r"wahrscheinlich|(?:vielleicht|möglicherweise)(?! (?:kann|können|hilft|helfen|sollten|fragen|versuchen|finden|"
        r"möchten|wei(?:ß|ss)|jemand|eine?)\b)|könnten? (?:\w+ ){0,3}?(?:sein|gewesen sein)\b|dürfte)\b"
    ),
    question=r"\b(?:wer|was|wann|wo|wie|warum|welche\w*|ob|wem|wen|woher|wohin|wessen)\b[^,.;:!?]*",
    contrast=r"aber|jedoch|allerdings|doch|dennoch|trotzdem|obwohl|immerhin|sondern",
    courtesy=(
        r"(?:ich|wir|sie (?:können|könnten|möchten|sollten)|bitte|falls|wenn|gern\w*|leider|bedauerlicherweise|tut mir|"
        r"es tut|entschuldig\w*|verzeih\w*|danke|vielen dank|kann|können|könnten|möchten|versuchen|fragen|schauen|"
        r"wenden|vielleicht|mein\w*|das (?:ist|liegt|tut|geht|wei(?:ß|ss)) (?:mir|ich|nicht|leid|außerhalb|eine?)|"
        r"das thema|dazu|darüber|hierzu|davon|da|so|also|nun|hm+|ach|ja|nein|gute frage|weil|denn|zumal|als|jemand|"
        r"lassen|gibt es|haben sie|melden|stellen|ehrlich|mir|uns|mehr|sicher|zu|über|bei)\b"
    ),
    assertion=(
        r"\b(?:ist|war|sind|waren|wurde|wurden|schrieb|hat|hatte|heißt|hieß|lebt|starb|kam|gewann|spielt|lautet|stammt|liegt|"
        r"erschien|\w{3,}ten?)\b"
    ),
)
