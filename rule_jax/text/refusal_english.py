"""The English refusal patterns: data for `refusal.py`, which explains each field and compiles them once.

All patterns are matched against text in lower case with straight quotes, and outside quotation marks. A rule states
the speaker's own inability or unwillingness: without a first person ("I", "we", "my", "to me") only fragments that
open a sentence ("No idea.") and passives about the request itself ("This request cannot be fulfilled") count.
"""

from rule_jax.text.language import Language

_ADVERBS = (
    r"(?:\s+(?:really|truly|simply|just|honestly|currently|still|sadly|unfortunately|also|actually|possibly|probably|"
    r"completely|entirely|fully|respectfully|absolutely|regrettably|presently|quite|personally|definitely|very|all|"
    r"afraid|particularly|especially|at present|at this time|politely|even|ever|either)){0,5}"
)
_SPEAK = (
    r"(?:answer|help(?! but\b|\s+\w+ing\b)|assist|say(?! enough)|tell(?! you how| lies| a lie)|provide|give|share|"
    r"offer|discuss|comment|speak|talk|respond|reply|disclose|reveal|divulge|supply|recall|remember|identify|confirm|"
    r"verify|shed|address|engage|go into|get into|cover|place|recogni[sz]e|name|advise|elaborate|describe|retrieve|"
    r"speculate|guess|fulfil|comply|complete|contribute|supply|weigh in|point you|find (?:any\w*|a record|out|that|"
    r"the answer|info|details)|be (?:of|discussing|answering|sharing|talking|speaking|commenting|able|certain|sure|"
    r"more)|do (?:that|this)|claim to)\b"
)
_FACTS = (
    r"(?:information|info|knowledge|data|details?|answers?|records?|recollection|memory|insights?|specifics|facts|"
    r"ideas?|clues?|comment|background|familiarity|enlightenment|access|expertise|understanding|awareness|notion|"
    r"inkling|way of knowing|context|sources?|entry|entries|figures|numbers|statistics)\b"
)
_MIND = (
    r"(?:knowledge|training|data|databases?|datasets?|memory|records|notes|sources|resources|expertise|understanding|"
    r"guidelines|instructions|rules|policy|policies|programming|capabilit(?:y|ies)|abilit(?:y|ies)|information|mind|"
    r"scope|remit|reach|grasp|ken|depth|area|field|domain|range|purview|experience|limits|head|pay grade|league|"
    r"wheelhouse|competence|familiarity|education|studies|vocabulary|circle|horizon|library|archives?|files|"
    r"recollection|bounds|world|learning|map|shelf|shelves|lessons|material|field of view|sight|view)\b"
)

_RULES = (
    # "I cannot answer", "I won't go into that", "I'm not permitted to say"
    (
        "unable",
        rf"i{_ADVERBS}\s+(?:can't|cannot|can not|cant|couldn't|could not|won't|will not|wont|shall not|shan't|"
        rf"would not|wouldn't|may not|must not|mustn't){_ADVERBS}(?:\s+{_SPEAK}|\s*(?:[.!,;]|$))"
        rf"|we{_ADVERBS}\s+(?:can't|cannot|can not|won't|will not){_ADVERBS}\s+"
        r"(?:answer|assist|comment|help|discuss|disclose|share|provide|respond|offer)\b"
        rf"|(?:i'm|i am|im|we're|we are|i was|i feel){_ADVERBS}\s+(?:unable|not{_ADVERBS}\s+(?:able|permitted|"
        r"allowed|authori[sz]ed|at liberty|supposed|in a position|qualified|equipped|prepared|willing|meant|"
        r"designed|built|"
        r"going to (?:answer|discuss|say|share|comment|talk|speak|get into|go into)))\b",
    ),
    # "I must decline", "I'd rather not", "I'll leave that to others", "let's talk about something else"
    (
        "decline",
        rf"(?:i|we)(?:'ll|'d|'ve)?(?:\s+(?:must|have|need|to|will|would|shall|am going|going|had|think|i'll|i|should|"
        rf"better)){{0,5}}{_ADVERBS}\s+(?:decline|refuse|pass on|pass\b(?=\s*[.!,;]|$)|skip (?:this|that)|refrain|"
        r"abstain|rather not|prefer not|prefer to (?:stay|remain|keep)|opt not|choose not|leave (?:that|this|it|those)|"
        r"plead ignorance|keep (?:quiet|silent)|stay silent|remain silent|hold my tongue|sit this (?:one )?out)\b"
        r"|i(?:'ve| have| was| am|'m)(?: been)? (?:decided|chosen|instructed|told|asked|directed|programmed|required|"
        r"advised|bound) (?:not to|never to)\b"
        r"|let me (?:pass|skip)\b"
        r"|(?:let's|let us|could we|can we|shall we|may we|might we) (?:talk about|discuss|move on|change|"
        r"speak about|turn to)\b[^.!?]*\b(?:else|other|another|different|subject)\b",
    ),
    # "I don't know", "I have no information", "I've never heard of it"
    (
        "ignorant",
        rf"(?:i|we){_ADVERBS}\s+(?:don't|do not|dont|no longer|wouldn't|would not|didn't){_ADVERBS}\s+"
        r"(?:know(?! (?:if|whether|about) you\b)|remember|recall|recogni[sz]e|possess|(?:think|believe|"
        r"suppose) i(?:'m| can| know| have| am|'ve| could)|want to (?:guess|speculate)|feel (?:qualified|comfortable|"
        r"able|confident|equipped|right)|care to (?:say|comment|answer)|wish to (?:say|comment|answer|discuss)|"
        r"seem to (?:have|know|recall)|come with|carry|keep (?:any|records?))\b"
        rf"|(?:i|we)(?:'ve)?{_ADVERBS}(?:\s+(?:don't|do not|dont|no longer|didn't|did not|haven't got|haven't|"
        rf"have not))(?:{_ADVERBS}\s+(?:seem to )?(?:have|hold|possess|own|got|"
        rf"been given)){_ADVERBS}(?:\s+[\w'.-]+){{0,4}}?\s+(?:{_FACTS}|anything\b)"
        rf"|(?:i|we)(?:'ve)?{_ADVERBS}(?:\s+(?:seem to|appear to|do|can|must admit to|confess to))?\s*(?:have|hold|"
        rf"possess|lack|offer|find|have got|got|lacking|missing|bring)?{_ADVERBS}\s+(?:no|lack(?: (?:the|any))?|zero|"
        rf"little)(?:\s+[\w'.-]+){{0,3}}?\s+{_FACTS}"
        rf"|(?:i|we)\s+lack(?:\s+[\w'.-]+){{0,3}}?\s+{_FACTS}"
        rf"|(?:i|we)(?:'ve)?{_ADVERBS}(?:\s+(?:have|hold|got|found|know|knew|learned|can tell you|can offer|can say|"
        r"recall|remember|retain))*\s+(?:nothing|(?:very|too|so) little)\b"
        r"|i know not\b"
        rf"|i(?:'ve)?{_ADVERBS}\s+(?:never|have never|haven't|have not|not|didn't|was never|wasn't|was not|am not|"
        rf"'m not|do not|have yet to|yet to|still have to|still need to|need to){_ADVERBS}(?: be| been)?\s+(?:heard|"
        r"hear|come across|encountered?|learned|learnt|learn|studied|study|read|taught|trained|given|briefed|told|"
        r"informed|educated|instructed|shown|met|look (?:that|this|it) up|look up)\b"
        r"|i (?:haven't|have not)(?: (?:got|had))? (?:a clue|the (?:slightest|foggiest|faintest)|any|an inkling|"
        r"anything)\b"
        r"|i(?:'ve| have) (?:forgotten|(?:come|drawn) (?:up )?(?:short|empty|a blank))"
        r"|i (?:come up (?:short|empty)|(?:draw|drew) (?:a |only )?(?:complete |total )?blanks?)\b"
        rf"|i'?d only be guessing|i would only be guessing|(?:admit|confess)(?: to)? my ignorance|"
        rf"if i knew\b[^.!?]*\bi would|(?:i|we){_ADVERBS} wish (?:i|we) (?:knew|could (?:help|say|tell|answer|share|"
        r"be of)|had (?:more|an|the|any)\b)|you(?:'ve| have) (?:got me there|me stumped|got me stumped)",
    ),
    # "I'm not sure about", "I'm unfamiliar with", "I'm in the dark"
    (
        "unsure",
        rf"(?:i'm|i am|im|i feel|i remain|we're|we are){_ADVERBS}\s+(?:not{_ADVERBS}\s+(?:(?:an?|the|that|too) )?"
        r"(?:sure|certain|positive|confident|familiar|aware|informed|knowledgeable|acquainted|privy|well-versed|"
        r"well versed|versed|educated|right (?:\w+ )?(?:source|one|ai|assistant|person|model)|best (?:source|one|"
        r"person|ai)|one to (?:ask|answer)|expert|authority|trained|briefed|conversant|schooled|someone who knows)|"
        r"unsure|uncertain|unaware|unfamiliar|uninformed|unacquainted|clueless|ignorant|stumped|blank|at a loss|"
        r"at a disadvantage|in the dark|drawing a|lacking|missing|out of my depth|no expert|the wrong|short on|"
        r"empty-handed|lost when|a stranger to|none the wiser|no wiser)\b",
    ),
    # "beyond my knowledge", "unknown to me", "not something I can discuss", "my training doesn't cover"
    (
        "limits",
        r"(?:beyond|outside|out of|past|above|over|exceeds?|(?:not|(?:is|are|was|has|have|does|"
        r"do)n't)(?: \w+)? (?:in|within|part of|covered (?:by|in)|included in|found in|"
        r"on))(?: of)? (?:the (?:\w+ ){1,2}of )?(?:(?:my|our)(?:\s+[\w'-]+){0,3}?\s+" + _MIND + r"|"
        r"what (?:i|we)\b)"
        r"|out of scope for me|beyond me\b"
        r"|(?:unknown|a (?:complete |total )?mystery|news|unfamiliar|foreign|new|unavailable|available|not known|"
        r"inaccessible|a (?:complete )?blank(?: page)?|a closed book|a stranger|a riddle|nothing) to (?:me|us)\b"
        r"|(?:blind spot|gap|blank spot|hole|uncharted territory)\s+(?:of mine|to me|(?:in|for) (?:my|what i))"
        r"|rings? no bells?|(?:doesn't|does not) ring (?:a|any) bells?"
        r"|(?:escapes|eludes|evades|baffles|beats) me\b|slipped my mind"
        r"|(?:not|(?:is|are|was|has|have|does|do)n't) (?:something|someone|somewhere|anything|ones?|"
        r"(?:an? )?(?:topic|subject|matter|question|name|person|thing|field|area|place|information|details|facts|"
        r"knowledge))(?: that| which| whom?)?\s+(?:i|we)(?:'m|'ve|'d)?\s(?!would (?:recommend|advise|suggest))"
        r"|something (?:that )?i(?:'ve| have| need| still| would)? (?:yet |have |need )?to (?:look|learn|be|study)"
        r"|my (?:[\w'-]+ ){0,2}?" + _MIND + r"(?:\s+[\w'.-]+){0,6}?\s+(?:doesn't|does not|don't|do not|didn't|"
        r"did not|isn't|is not|aren't|are not|hasn't|haven't|has no|have no|(?:contains?|holds?|shows?|offers?|says?|"
        r"includes?|keeps?|hits?) (?:nothing|no|a)|lacks?|(?:is|are|goes|comes up|draws a) (?:empty|blank|silent|"
        r"limited|incomplete|missing|short)|draws? a blank|stops? (?:short|before)|ends? before|prevents?|prohibits?|"
        r"forbids?|bars?|keeps? me|won't|cannot|can't|never)\b"
        r"|there(?:'s| is| are) (?:nothing|no \w+)(?: that)? (?:i|we) (?:can|know|could|have|am)\b"
        r"|nothing (?:that )?i (?:was|know|have|can|learned|learnt|hold|'ve)\b"
        r"|for me to (?:answer|know|say|discuss|comment|speak|share|tell)\b|wrong of me to\b"
        rf"|no {_FACTS}.{{0,60}}?(?:available to me|in my|from me)\b|no answer from me",
    ),
    # "my guidelines forbid", "against our policy", "this request cannot be fulfilled"
    (
        "policy",
        r"(?:policy|policies|guidelines|rules|privacy|terms|instructions|principles)\b.{0,40}?\b(?:prohibits?|"
        r"forbids?|prevents?|bars?|stops?|(?:don't|do not|doesn't|does not) (?:allow|permit|let)|keeps?|"
        r"restricts?) (?:me|us)\b"
        r"|against (?:my|our) (?:guidelines|policy|policies|rules|principles|instructions)\b"
        r"|(?:questions?|requests?|inquir(?:y|ies)|quer(?:y|ies)|information|details?|answers?|facts|"
        r"data)\b.{0,60}?\b(?:cannot|can't|can not|may not|will not|won't) be (?:answered|disclosed|provided|shared|"
        r"fulfilled|given|revealed|processed|discussed|supplied|handled|released)\b"
        r"|(?:information|details|data|facts) (?:about|on|regarding|concerning|of|for)\b.{0,60}?\b(?:is|"
        r"are) (?:not (?:currently )?available|unavailable)\b"
        r"|request (?:declined|denied|refused)\b",
    ),
    # "No idea.", "Dunno", "Unable to answer.": only where a sentence opens
    (
        "fragment",
        r"(?:(?<=^)|(?<=[.!?;,] )|(?<=^\W))(?:no (?:idea|clue|comment(?! policy)|can do|recollection)|not (?:a clue|"
        r"sure|certain|familiar)|don't (?:know|remember|recall)|dunno|idk|can't (?:say|help|answer|tell|recall|"
        r"remember)|cannot (?:say|help|answer|tell|comply)|couldn't (?:say|tell)|unable to (?:answer|comply|help|"
        r"assist|respond|provide|say|comment)|search me|haven't (?:a|the) |never heard of|your guess is as|"
        r"answer unknown|beats me|(?:please |better )?(?:ask|consult) someone (?:else|who knows|with))\b(?!\s+(?:is|"
        r"are|stands|means|was)\b)",
    ),
)

ENGLISH = Language(
    rules=_RULES,
    # The lookaheads let offers and advice through, which use the same words ("perhaps you could ask a librarian").
    hedge=(
        r"\b(?:i (?:do )?(?:think|believe|guess|suspect|suppose|assume|imagine|reckon|want to say|would guess|"
        r"would say)(?! (?:you|i\b|i'|it(?:'s| is) best|it would|that i\b|we))|i'd (?:guess|say)(?! that i)|"
        r"my (?:best |first )?(?:guess|hunch)|had to guess|(?:maybe|perhaps|possibly)(?! (?:you|i\b|we|"
        r"an? (?:\w+ )?(?:encyclop|librar|search|expert)|another|someone|try|ask|check|consult))|probably|"
        r"most likely|presumably|(?:might|could|may) (?:be|have been)(?! (?:your|worth|able|helpful|best|better|"
        r"useful|more|a good|of)))\b"
    ),
    question=r"\b(?:who|whom|what|which|where|when|why|how|whether)\b[^,.;:!?]*",
    contrast=(
        r"but|however|though|although|except(?: that)?|only that|only(?= he| she| it)|that said|yet|still|"
        r"nevertheless"
    ),
    # Clauses that go with a refusal and tell nothing: offers, advice, courtesy, reasons.
    courtesy=(
        r"(?:i(?!\s+(?:do\s+|also\s+)?(?:know|recall|remember|heard|read)\b)|i'[mdl]|i'll|i've|we|you|your|please|"
        r"kindly|let|feel|if|perhaps|maybe|is there|are there|would|could|can|do you|may|try|consult|check|ask|sorry|"
        r"so sorry|apolog\w*|my|our|me|thanks?|happy|any|another|other|there|this|that(?! is\b)|nice|fair|these|for|"
        r"it(?:'s| is| would be) (?:a matter|best|outside|against|not|beyond|out)|the (?:topic|subject|question|"
        r"matter|name|details|information)|as|regarding|about|when|concerning|per|according|due|because|given|"
        r"whatever|to be|in all|with|in (?:my|any|anything)|who|what|rather|while|unless|until|forgive|pardon|excuse|"
        r"regret|unfortunately|sadly|alas|oh|hmm|um|well|no|nope|yes|honestly|frankly|great|good|interesting|hello|"
        r"hi|hey|sure|okay|ok|not|nothing|be advised|hear|understand|so|then|instead|a library|an encyclop\w*|"
        r"someone|somebody|others|one|truly|really|and (?:i|so)|nor)\b|that(?:'s| is) (?:an? (?:\w+ )?(?:question|"
        r"query|topic|subject|one)|not|all|why)\b"
    ),
    assertion=(
        r"\b(?:is|was|were|are|wrote|has|had|says?|said|became|won|lives?|means|put|goes|went|made|sold|sang|led|"
        r"began|\w{2,}ed|it's|he's|she's|they're|that's|\w+'s)\b"
    ),
)
