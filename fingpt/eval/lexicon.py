"""The words that carry a forecast: direction, negation, cause, contrast, condition, doubt. Data only.

`WORDS` finds them in a sentence of lower case, each match under the name of its kind. Earlier kinds win, so a phrase
that only looks like a direction (`set up`, `fall short`) is listed first, as `other`. Phrases are patterns: one a
line or between ` | `, a blank for one space. Every repetition is bounded. Past tense (`rose`, `declined`) is no
forecast.
"""

from __future__ import annotations

import re


def _any(phrases: str) -> str:
    """One pattern for phrases given one a line, or between ` | `."""
    parts = (part.strip() for part in re.split(r"\n| \| ", phrases))
    return "(?:" + "|".join(part.replace(" ", r"\s") for part in parts if part) + ")"


_DEGREE = _any(
    """
    very | slight | slightly | modest | modestly | mild | mildly | small | minor | moderate | moderately | gradual
    steady | cautious | cautiously | marginal | marginally | strong | overall | general | continued | further
    significant | sharp
    """
)
_DEGREES = rf"(?:{_DEGREE}\s){{0,3}}"
_MOVE = _any(
    """
    movement | move | trend | trajectory | momentum | direction | bias | territory | drift | performance | return
    change | week | tilt | lean | pressure
    """
)
# What only belongs to the company, so that its rise or fall is none of the stock.
_BUSINESS = _any(
    """
    costs? | rates? | margins? | demand | revenues? | sales | profits? | earnings | expenses? | expectations? | debt
    volumes? | yields? | inflation | competition | guidance | forecasts? | taxes | interest | oil | inputs? | orders?
    risks? | uncertainty | wages? | claims? | deliveries | pressures? | tensions? | valuations? | market share
    volatility | buying | selling
    """
)
# What follows a participle that is a verb; before another noun it is an adjective, as in "rising claims".
_AFTER_VERB = _any(
    """
    by | to | in | from | over | next | this | during | further | slightly | modestly | moderately | gradually
    steadily | approximately | roughly | around | about | towards? | again | more | on | and | or | trend | stocks?
    shares? | price | as | due | but | amid | after | with | before | through | throughout | for
    """
)
_VERBAL = rf"(?=\s*(?:$|[.,;:()])|\s{_AFTER_VERB}\b|\s\S{{0,2}}\d)"
_STATES = rf"(?=\s*(?:$|[.,;:()])|\s(?:on|for|by)\b|\sand\s(?:up|down|bull|bear)|\s{_MOVE}\b)"
_UP = _any(
    rf"""
    ^increased(?= by\b) | up(?:wards?)? | increases? | rises? | (?:increas|ris|gain)ing{_VERBAL} | gains? | higher
    climb(?:s|ing)?
    advanc(?:e|es|ing) | appreciat(?:e|es|ing|ion) | rall(?:y|ies|ying) | rebound(?:s|ing)? | recover(?:s|y|ing)?
    surg(?:e|es|ing) | jump(?:s|ing)? | soar(?:s|ing)? | bounc(?:e|es|ing)(?: back)? | bullish(?:ly)?
    up(?:trend|tick|swing|side|move) | grow(?:s|ing)?(?= by\b) | (?:price|stock|share) growth | (?<=\bfor )growth
    (?:slight|modest|moderate|minor|gradual|steady) growth | growth(?= of \S{{0,8}}\d) | adds?(?= \S{{0,8}}\d)
    positive(?:ly)?{_STATES}
    """
)
_DOWN = _any(
    rf"""
    ^(?:decreased|declined)(?= by\b) | down(?:wards?)? | decreases? | declines? | (?:decreas|declin|fall)ing{_VERBAL}
    drop(?:s|ping)? | falls? | lower
    dip(?:s|ping)? | slip(?:s|ping)? | slid(?:e|es|ing) | plung(?:e|es|ing) | plummet(?:s|ing)? | tumbl(?:e|es|ing)
    sink(?:s|ing)? | slump(?:s|ing)? | retreat(?:s|ing)? | shed(?:s|ding)? | los(?:e|es|ing) | loss(?:es)?
    eas(?:e|es|ing) | weaken(?:s|ing)? | depreciat(?:e|es|ing|ion) | bearish(?:ly)? | down(?:trend|turn|side|fall|move)
    pull-?back | correction | sell-?off | crash(?:es|ing)?
    negative(?:ly)?{_STATES}
    """
)
_LEANING = (
    r"(?:bias(?:ed)?|tilt(?:ed|ing)?|lean(?:s|ing)?|skew(?:ed)?)\s(?:to|towards?)\s(?:the\s|an?\s)?"
)
_WITH = rf"(?:and\s|but\s)?with\s(?:an?\s|some\s|the\s)?{_DEGREES}"
_NOUN = _any(
    "gains? | upside | increases? | rise | growth | declines? | losses | downside | rebound | recovery"
)
_AUXILIARY = r"(?:may|might|could|will|should|is|are|likely|to|be|remain|seems?|also)"  # "gains may be limited"
_ABOUT = r"(?:(?:relatively|largely|mostly|broadly|fairly|roughly|around|near|essentially|quite|rather)\s)"
_OPPOSED = _any(
    """
    up(?:ward)?s? | down(?:ward)?s? | positive | negative | bullish | bearish | higher | lower | increas(?:e|ing)
    decreas(?:e|ing) | declin(?:e|ing)
    """
)

_SIDE = "(?:upside|downside|upward|downward|gains?|losses|declines?)"
# "The probability of an increase is only 30%", "a 30% chance of a decline": what is less likely than not.
_CHANCE = "(?:probability|chances?|likelihood|odds)"
_ODDS_OF = r"(?:of|for) (?:an? |any |the )?(?:[a-z-]{1,14} ){1,4}?"
_FEW = r"(?:low|small|slim|minimal|remote|(?:(?:below|under|less than) )?[0-4]?\d(?:\.\d{1,2})?(?=\s?%))"

_PHRASES = {
    "other": rf"""
        up to date | up-to-date | upcoming | leading up to | set up | giv(?:e|es|ing) up
        (?:shut|slow|write|wind)(?:s|ing)?[\s-]?downs?
        (?:hold|ramp|catch|follow|build|back|open|wrap|speed|sum|prop|scale|step|clean|pent)(?:s|ed|ing|ped)?[\s-]up
        break(?:s|ing)? down | fall(?:s|ing)? short | no doubt | not only | (?:no|not) more than | shed(?:s|ding)? light
        los(?:e|es|ing) control | eas(?:e|es|ing) (?:of|concerns|fears|worries|pressure|inflation|tensions?|supply)
        market correction | such as | as (?:well|much|high|low|little|many) as | as of | rang(?:e|es|ing) from
        (?:interest )?rate (?:cut|hike|rise)s? | (?:lower|higher) (?:than )?(?:\w{{1,14}} )?{_BUSINESS}
        (?:increase|decrease|rise|drop|decline|fall|surge|jump|gain|recovery)s? in (?:\w{{1,14}} ){{0,2}}{_BUSINESS}
        {_NOUN}(?: {_AUXILIARY}){{1,4}} (?:limited|capped|tempered|restricted|contained|muted|curbed)
        hover(?:s|ing)? (?:around|near|at|between) (?:the |about )?[$€£]?\d
        (?:limited|minimal|negligible) {_SIDE}(?: (?:movement|potential|risk))?(?: (?:or|and) {_SIDE})?
        (?:less|more|fewer|smaller|bigger) {_SIDE} than \w{{1,14}}
        {_CHANCE} {_ODDS_OF}(?:is|are|at|stands at|remains|seems|looks) (?:only |just |about |around |roughly )?{_FEW}
        {_FEW}\s?%? {_CHANCE} (?:of|for) (?:an? |any |the )?(?:[a-z-]{{1,14}} )?[a-z-]{{1,14}}
        """,
    "either": rf"""
        (?:flat|neutral|stable|sideways|unchanged|mixed) to {_DEGREES}{_OPPOSED}
        (?:around|at|near) or (?:slightly|just|somewhat|modestly) (?:above|below)
        (?:as|equally|no less) likely
        initially | (?:initial|early) {_DEGREES}(?:(?:up|down)ward|gains?|rise|increase|decline|drop|dip|rally|rebound)
        """,
    "lean_up": rf"""
        {_WITH}(?:upward|positive|bullish|upside) {_MOVE} | {_WITH}(?:gains?|increase|rise|uptick|recovery|rebound)
        {_LEANING}(?:upside|gains?|upward)
        """,
    "lean_down": rf"""
        {_WITH}(?:downward|negative|bearish|downside) {_MOVE}
        {_WITH}(?:losses|decline|decrease|dip|drop|fall|pullback)
        {_LEANING}(?:downside|losses|downward)
        """,
    "flat": rf"""
        (?:remain|stay|hold|keep|trade|move)(?:s|ing)? {_ABOUT}?(?:stable|steady|still)
        (?:be|is|are) {_ABOUT}?(?:stable|steady)
        within an? (?:narrow |tight |certain )?(?:trading )?range(?! (?:of|between)) | flat | unchanged | neutral
        sideways | range-?\s?bound | little changed | stabili[sz](?:e|es|ing|ation) | hover(?:s|ing)?
        consolidat(?:e|es|ing|ion)
        (?:period|expectation) of (?:relative )?(?:stability|consolidation) | price stability | minor fluctuations?
        (?:fluctuate|trade|stay|remain)s? (?:around|near|at|close to) (?:the |its )?current (?:level|price)s?
        maintain(?:s|ing)? its current (?:stock |share )?(?:price|level)
        stable(?=\s*(?:$|[.,;:)(]| (?:or|and|but|with|over|in|next|this|during|to|at|around|near)\b))
        no (?:{_DEGREE} )?(?:net |big |major |real |price )?(?:change|movement)s?
        """,
    "mixed": r"""
        mix(?:ture)? of \w{1,14} and \w{1,14} | mixed | volatil(?:e|ity) | fluctuat(?:e|es|ing|ions?)
        uncertain(?:ty)? | choppy | unpredictable
        """,
    "lead": "lead(?:s|ing)? to | result(?:s|ing)? in | followed by | which should (?:push|send|lift)",
    "from": "from",
    # Where the market goes is no forecast of the stock.
    "reason": r"""
        because(?! of) | as | since | which
        (?:markets?|sector|index|indices|peers|rivals|competitors) (?:may|might|could|will|should|is likely|are likely)
        """,
    "cause": r"""
        due to | because of | based on | given | considering | despite | in spite of | notwithstanding
        regardless of | amid(?:st)? | thanks to | owing to | in light of | in response to | on the back of | indicating
        (?:driven|supported|influenced|helped|hurt|fuell?ed|boosted|backed|led|caused) (?:by|on)
        (?:aided|underpinned|tempered|offset|limited|pressured|(?:weighed|dragged)(?: down)?) (?:by|on)
        (?:hit|propelled|triggered|bolstered) by
        reflecting(?! (?:an? )?(?:\w{1,14} ){0,2}\S{0,2}\d) | suggesting | signal(?:l?ing|s) | after
        following
        on(?= (?:strong|weak|solid|rising|falling|higher|lower|better|worse|positive|negative|news|robust|growing)\b)
        on(?= (?:concerns?|worries|fears?|hopes?|optimism|declining|improved|upbeat|disappointing|profit)\b)
        """,
    "condition": """
        if | unless | provid(?:ed|ing) that | assuming | contingent | in case | depending on | otherwise | conversely
        """,
    "concession": "while | whilst | although | even though | though | whereas",
    "contrast": "but | however | yet | nevertheless | nonetheless | before | except",
    "firm": "overall | ultimately | eventually | in the end | on balance | net",
    "soft": "may | might | could | can | potentially | possibly | perhaps | maybe | conceivably",
    "weak": r"""
        potential(?=\s)(?! (?:range|target|price)) | possib(?:le|ility) | (?:chance|risk|prospect|hope)s? (?:of|for)
        room (?:for|to) | scope for | opportunit(?:y|ies) (?:for|to)
        """,
    "unlikely": "unlikely",
    "undone": r"""
        (?:revers(?:e|es|ing)|break(?:s|ing)?|(?:be|is|get|gets) filled)(?=\s*(?:$|[.,;]))
        (?:fad|wan|dissipat|evaporat|fizzl)(?:e|es|ing) | stall(?:s|ing)?
        (?:peter|run)(?:s|ing)? out | (?:runs?|has run|have run) (?:its|their) course
        los(?:e|es|ing) (?:steam|momentum|traction) | out of steam
        exhausted | exhaustion | overdone | doomed | priced in | overblown | unsustainable | short-lived
        (?:is|are|be|look|looks|seems) over
        (?:be )?(?:erased|wiped out|recouped|reversed|recovered|unwound|pared|sold(?: into)?|bought(?: up)?|faded)
        com(?:e|es|ing) to an end | (?:will|to) end(?=\s*(?:$|[.,;]|and\b))
        """,
    "block": r"""
        (?:prevent|avoid|escape|limit|cap|temper|offset|curb|revers|halt|stem|mitigat)(?:e|es|s|ed|ing|ping)?
        shak(?:e|es|ing) off | (?:hard|difficult|tough) to (?:see|imagine|envision|justify)
        (?:recoup|surrender|forfeit|reclaim|trim)(?:s|ing|ming)? | (?:eras|par)(?:e|es|ing) | wip(?:e|es|ing) out
        giv(?:e|es|ing) back
        (?:snap|break|end)(?:s|ping|ing)? (?:its|the|a|their)(?= (?:\S{1,14} ){0,3}?(?:streak|slide|slump|rally|rout))
        (?:dampen|restrict|counter(?:act|balanc)|cushion|resist|rul|outweigh|hinder|absorb|stop)(?:e|es|s|ed|ing|ping)?
        """,
    "negation": r"""
        not | cannot | no | never | neither | nor | without | hardly | (?:fail(?:s|ed|ing)?|struggl(?:e|es|ing)) to
        (?<!more )(?<!less )(?<!greater )(?<!larger )(?<!bigger )than(?= (?:to|an?|on an?|on)\s)
        (?:lack|absence) of
        rather than | instead of | far from | \w{2,6}n't | improbable
        doubt(?:ful|s)?
        """,
    "modal": """
        will | would | should | shall | expect(?:s|ed|ing|ation)? | likely | predict(?:s|ed|ing|ion|ions)?
        anticipat(?:e|es|ed|ing) | project(?:s|ed|ion) | forecast(?:s|ed|ing)? | poised | set (?:to|for) | estimate[sd]?
        """,
    "continue": "continu(?:e|es|ed|ing|ation) | maintain(?:s|ing)? | extend(?:s|ing)? | resum(?:e|es|ing)",
    "past": r"""
        recent(?:ly)? | last | previous(?:ly)? | prior | past | earlier | prev | yesterday(?:'s)? | ytd | so far | has
        had | was | were | saw | been | (?<!will )(?<!to )have
        rose | fell | (?<!^)(?:increased|decreased|declined) | dropped | gained | climbed | jumped | surged | rallied
        lost | slid | slipped | plunged | tumbled | advanced | soared | sank | retreated | risen | fallen
        """,
    "up_to": "up to",
    "to": "to",
    "up": _UP,
    "down": _DOWN,
    "either_or": "or",
    "and": "and | then",
}
_MARKS = {"open": r"[(\[]", "close": r"[)\]]", "comma": r"[,:]|\s-\s"}
WORDS = re.compile(
    "|".join(
        [
            *(rf"(?P<{kind}>\b{_any(phrases)}\b)" for kind, phrases in _PHRASES.items()),
            *(f"(?P<{kind}>{pattern})" for kind, pattern in _MARKS.items()),
        ]
    )
)

_FIRM = """
    will | would | should | expect(?:s|ed)? | likely | predict(?:s|ed|ion)? | anticipated? | projected | poised | set to
    (?:upcoming|next|coming) week
    """
# A sentence that forecasts, firmly or at all, and what it must be about.
FIRM = re.compile(rf"\b{_any(_FIRM)}\b")
FORECASTS = re.compile(rf"\b{_any(_FIRM + ' | may | might | could | forecast | bias')}\b")
SOFT = re.compile(r"\b(?:may|might|could|can|possible|potential|potentially|possibly|if)\b")
SUBJECT = re.compile(
    rf"\b{_any('stocks? | shares? | prices? | trend | movement | uptick | it | performance | bias')}\b"
)

# A sentence that names its prediction so, one that sums up, and one that looks beyond the week.
_EXPLICIT = r"""
    (?:i|we)(?: (?:would|therefore|will|am|are)){0,2} predict(?:ing)? | (?:is|are) (?:therefore )?predicted
    predicted (?:movement|direction|change|trend|to) | (?:my|the|our) (?:prediction|best guess|base case)
    i (?:expect|forecast|anticipate|think)
    prediction (?:for|is|of) | balanced view suggests
    """
_CONCLUDING = """
    overall | therefore | thus | hence | in (?:summary|conclusion|short|total) | consequently | as a result | ultimately
    on balance | all in all | to (?:summari[sz]e|conclude)
    """
_BEYOND = """
    long(?:er)?[- ]term | long[- ]run | following weeks | (?:following|coming) (?:months|quarters|years)
    next (?:month|quarter|year)
    """
_PREDICTING = r"""
    (?:i|we)(?: (?:would|therefore|will|am|are)){0,2} predict(?:ing)? | (?:is|are) (?:therefore )?predicted
    i (?:expect|forecast|anticipate|think) | (?:my|our|the) (?:prediction|best guess|base case)\b[^.\n]{0,100} is
    """
EXPLICIT = re.compile(rf"\b{_any(_EXPLICIT)}\b")
PREDICTING = re.compile(rf"\b{_any(_PREDICTING)}\b")  # in text without a label, and so stricter
CONCLUDES = re.compile(rf"^\W{{0,4}}{_any(_CONCLUDING)}\b")
BEYOND = re.compile(rf"\b{_any(_BEYOND)}\b")

# Lines beside a prediction that give reasons, not the prediction.
_REASONS = """
    rationale | reason(?:s|ing)? | key (?:factors?|drivers?|risks?) | drivers? | catalysts? | risks? | notes?
    monitoring | confidence | justification | disclaimer | explanation | basis | probability | time ?frame | horizon
    support | resistance | recommendation
    positive (?:factors?|developments?|catalysts?) | negative (?:factors?|risks?)
    potential (?:concerns?|challenges?|risks?)
    """
ASIDE_LINE = re.compile(rf"^\W{{0,6}}{_any(_REASONS)}\b[^:\n]{{0,30}}:")

# Chinese words of a prediction line, as they are read; longer words first.
CHINESE = (
    ("不会", " not "), ("上涨", " up "), ("上升", " up "), ("走高", " up "), ("反弹", " rebound "), ("涨", " up "),
    ("下跌", " down "), ("下降", " down "), ("走低", " down "), ("回落", " down "), ("跌", " down "),
    ("持平", " flat "), ("不变", " flat "), ("超过", " more than "), ("至", " to "), ("到", " to "),
    ("由于", " due to "), ("因为", " because "), ("尽管", " despite "), ("但", " but "), ("可能", " may "),
    ("大约", " about "), ("约", " about "),
    ("。", ". "), ("，", ", "), ("、", ", "),
)  # fmt: skip
