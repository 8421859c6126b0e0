"""The language ``toy-english``: its words and its grammar, as two tables.

``LEXICON``: a class, then its words, the most frequent first. ``walrus/walruses`` puts the first form into
``class.sg`` and the second into ``class.pl``. No word is in two classes, and nothing that may follow "a"
starts with a vowel.

``RULES``: a state, then its choices, ``share class -> states``. A state emits exactly one word of one of
these classes; the states on the right then wait on a stack, the first of them on top. A quoted word
stands for itself. A block that mentions ``{n}`` is there twice, for sg and pl; ``{c}`` likewise, for being
and thing.

The classes of one state share no word, so each word says which choice was taken. A state may follow
itself (``adj -> Head.any``), but no longer cycle exists: clauses nest to a fixed depth, and the
stack never grows with the sentence.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

LEXICON = """
det             the my our no
det.sg          a every this another
det.pl          two many these several
adj             small sleepy purple curious polite grumpy velvety gigantic suspicious melancholy
                bashful sticky heroic forgetful moonlit dusty bewildered tiny majestic peculiar damp
                cheerful feathery lukewarm
degree          very rather quite

noun.being      walrus/walruses librarian/librarians penguin/penguins wizard/wizards goose/geese
                poet/poets dragon/dragons hedgehog/hedgehogs pirate/pirates baker/bakers ghost/ghosts
                mouse/mice detective/detectives giraffe/giraffes plumber/plumbers duchess/duchesses
                llama/llamas robot/robots snail/snails philosopher/philosophers wombat/wombats
                lobster/lobsters
noun.thing      teapot/teapots trombone/trombones pancake/pancakes lantern/lanterns hat/hats
                bathtub/bathtubs cactus/cacti spoon/spoons balloon/balloons wardrobe/wardrobes
                pudding/puddings clock/clocks ladder/ladders cello/cellos moustache/moustaches
                sofa/sofas turnip/turnips telescope/telescopes knife/knives biscuit/biscuits
noun.name.sg    agatha barnaby clementine mortimer ophelia rufus winifred zebedee

verb.be         is/are
verb.by-being   sings/sing dances/dance giggles/giggle snores/snore sneezes/sneeze daydreams/daydream
                yawns/yawn blushes/blush whistles/whistle sulks/sulk tiptoes/tiptoe
                hibernates/hibernate apologises/apologise
verb.by-thing   wobbles/wobble gleams/gleam rattles/rattle hums/hum squeaks/squeak leaks/leak
                shimmers/shimmer topples/topple
verb.on-being   admires/admire tickles/tickle chases/chase ignores/ignore adores/adore
                serenades/serenade flatters/flatter outwits/outwit forgives/forgive interviews/interview
verb.on-thing   polishes/polish borrows/borrow paints/paint juggles/juggle misplaces/misplace
                nibbles/nibble collects/collect inspects/inspect buries/bury photographs/photograph
verb.say.sg     says thinks claims suspects insists whispers

prep.place      near behind under beside above inside
prep.company    with without despite
adverb          quietly sideways twice gracefully again backwards loudly reluctantly underwater forever
opener          sometimes today usually lately officially somehow
conj            and but because while so until
"""

RULES = """
Sentence:
     8  opener                -> ',' Clause Close
    34  det                   -> Head.any Close
    19  det.sg                -> Head.sg Close
    19  det.pl                -> Head.pl Close
    20  noun.name.sg          -> Speaker Close

Clause:
    36  det                   -> Head.any
    20  det.sg                -> Head.sg
    20  det.pl                -> Head.pl
    24  noun.name.sg          -> More.being.sg

# The subject: from its noun on, the number waits on the stack until the verb.
Head.any:
    20  adj                   -> Head.any
    28  noun.being.sg         -> First.being.sg
    28  noun.being.pl         -> First.being.pl
    12  noun.thing.sg         -> First.thing.sg
    12  noun.thing.pl         -> First.thing.pl

Head.{n}:
    20  adj                   -> Head.{n}
    56  noun.being.{n}        -> First.being.{n}
    24  noun.thing.{n}        -> First.thing.{n}

# What follows the subject: phrases that try to attract the verb, then the verb.
First.being.{n}:
    20  prep.place            -> NounPhrase.thing More.being.{n}
    10  prep.company          -> NounPhrase.being More.being.{n}
    18  'that'                -> Relative.being.{n} More.being.{n}
    20  verb.by-being.{n}     ->
    12  verb.on-being.{n}     -> NounPhrase.being
    12  verb.on-thing.{n}     -> NounPhrase.thing
     8  verb.be.{n}           -> Predicate

First.thing.{n}:
    24  prep.place            -> NounPhrase.thing More.thing.{n}
     6  prep.company          -> NounPhrase.being More.thing.{n}
    18  'that'                -> Relative.thing.{n} More.thing.{n}
    32  verb.by-thing.{n}     ->
     4  verb.by-being.{n}     ->
    16  verb.be.{n}           -> Predicate

More.being.{n}:
    24  prep.place            -> NounPhrase.thing More.being.{n}
    12  prep.company          -> NounPhrase.being More.being.{n}
    24  verb.by-being.{n}     ->
    15  verb.on-being.{n}     -> NounPhrase.being
    15  verb.on-thing.{n}     -> NounPhrase.thing
    10  verb.be.{n}           -> Predicate

More.thing.{n}:
    29  prep.place            -> NounPhrase.thing More.thing.{n}
     7  prep.company          -> NounPhrase.being More.thing.{n}
    40  verb.by-thing.{n}     ->
     4  verb.by-being.{n}     ->
    20  verb.be.{n}           -> Predicate

# "that chases the geese", "that the geese chase"
Relative.being.{n}:
    25  verb.on-being.{n}     -> NounPhrase.being
    25  verb.on-thing.{n}     -> NounPhrase.thing
    20  det                   -> Rival.being.any
    10  det.sg                -> Rival.being.sg
    10  det.pl                -> Rival.being.pl
    10  noun.name.sg          -> RivalVerb.being.sg

Relative.thing.{n}:
    40  det                   -> Rival.thing.any
    20  det.sg                -> Rival.thing.sg
    20  det.pl                -> Rival.thing.pl
    20  noun.name.sg          -> RivalVerb.thing.sg

Rival.{c}.any:
    20  adj                   -> Rival.{c}.any
    40  noun.being.sg         -> RivalVerb.{c}.sg
    40  noun.being.pl         -> RivalVerb.{c}.pl

Rival.{c}.{n}:
    20  adj                   -> Rival.{c}.{n}
    80  noun.being.{n}        -> RivalVerb.{c}.{n}

RivalVerb.{c}.{n}:
    10  prep.place            -> NounPhrase.thing RivalVerb.{c}.{n}
    90  verb.on-{c}.{n}       ->

# "agatha suspects that the teapots leak"
Speaker:
    40  verb.say.sg           -> 'that' Clause
    24  verb.by-being.sg      ->
    13  verb.on-being.sg      -> NounPhrase.being
    13  verb.on-thing.sg      -> NounPhrase.thing
    10  verb.be.sg            -> Predicate

# Objects, and the nouns that prepositions bring along.
NounPhrase.being:
    36  det                   -> Noun.being.any
    22  det.sg                -> Noun.being.sg
    22  det.pl                -> Noun.being.pl
    20  noun.name.sg          ->

NounPhrase.thing:
    46  det                   -> Noun.thing.any
    27  det.sg                -> Noun.thing.sg
    27  det.pl                -> Noun.thing.pl

Noun.{c}.any:
    20  adj                   -> Noun.{c}.any
    40  noun.{c}.sg           ->
    40  noun.{c}.pl           ->

Noun.{c}.{n}:
    20  adj                   -> Noun.{c}.{n}
    80  noun.{c}.{n}          ->

Predicate:
    70  adj                   ->
    30  degree                -> Quality

Quality:
     1  adj                   ->

# The verb phrase is done; so, nearly, is the sentence.
Close:
    56  '.'                   ->
    18  adverb                -> '.'
    14  prep.place            -> NounPhrase.thing '.'
    12  conj                  -> Clause '.'
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One choice of a state.

    Attributes:
        share: Integer; its probability is its share over the sum of the state's shares.
        word_class: Name of the class its word comes from, such as ``noun.being.sg``.
        words: The words of that class, the most frequent first.
        then: The states that wait from then on, the next one first.
    """

    share: int
    word_class: str
    words: tuple[str, ...]
    then: tuple[str, ...] = ()


def toy_english_rules() -> dict[str, list[Rule]]:
    """The two tables as one: each state with its choices, ``{n}`` and ``{c}`` filled in.

    A quoted name in ``then`` is a state, too, and has one choice. ``Sentence`` is where a sentence starts.
    """
    classes = _read_classes(LEXICON)
    states: dict[str, list[Rule]] = {}
    for block in _filled_in(RULES.strip().split("\n\n")):
        head, *rows = [line for line in block.splitlines() if not line.startswith("#")]
        states[head.removesuffix(":")] = [_read_rule(row, classes) for row in rows]
    quoted = {name for rules in states.values() for rule in rules for name in rule.then if "'" in name}
    return states | {name: [_read_rule(f"1 {name} ->", classes)] for name in sorted(quoted)}


def _read_classes(lexicon: str) -> dict[str, list[str]]:
    classes: defaultdict[str, list[str]] = defaultdict(list)
    name = ""
    for line in filter(None, lexicon.splitlines()):
        entries = line.split()
        if not line.startswith(" "):
            name = entries.pop(0)
        for entry in entries:
            singular, slash, plural = entry.partition("/")
            if slash:
                classes[f"{name}.sg"].append(singular)
                classes[f"{name}.pl"].append(plural)
            else:
                classes[name].append(entry)
    return dict(classes)


def _filled_in(blocks: Sequence[str]) -> Iterator[str]:
    for block in blocks:
        numbers = ("sg", "pl") if "{n}" in block else ("",)
        kinds = ("being", "thing") if "{c}" in block else ("",)
        for number, kind in product(numbers, kinds):
            yield block.replace("{n}", number).replace("{c}", kind)


def _read_rule(row: str, classes: Mapping[str, Sequence[str]]) -> Rule:
    share, word_class, _, *then = row.split()
    literal = "'" in word_class
    words = [word_class.strip("'")] if literal else classes[word_class]
    return Rule(int(share), word_class, tuple(words), tuple(then))
