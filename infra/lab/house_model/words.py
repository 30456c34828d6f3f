"""Vocabulary of the synthetic documents, with words held out from training.

What a wish names comes from open lists: real words beside words that are made up on the spot, so that
guessing never pays and copying does.  One word in ten, by its checksum, is kept for the evaluation.
"""

# ruff: noqa: PLR2004, SIM905 - shares of the draws; lists of words

from __future__ import annotations

import random
import zlib
from typing import Final

NOUNS: Final = tuple(
    """acorn almanac altar amber amulet anchor anvil apple apron arch armchair arrow astrolabe badge bag
    balloon bandage banjo banner barrel basin basket bead bean bear beetle bell belt bench bicycle binder biscuit
    blanket boat bolt bone book boot bottle bow bowl box bracelet branch bread brick bridge brooch broom
    bucket buckle bugle bulb bundle buoy button cabinet cable cage cake camera candle cannon canoe
    cape capsule card carpet cart carving cask castle cauldron cello chain chair chalice chalk chariot chart chest
    chime chisel cigar circuit clock cloak clover clown coat cobweb coffer coin collar comb comet cone
    coral cord cork crab cradle crane crate crayon cricket crow crown crumb crystal cube cup curtain cushion
    cymbal dagger desk dial diamond  disc dolphin doll door dragonfly drawer dress drill
    drone drum duck dune eagle earring easel egg elevator ember emerald engine envelope fan feather fence fern
    fiddle figurine film fin flag flask flower flute foghorn folder fork fossil fountain fox frame frog fruit
    funnel furnace gate gauge gear gem ghost giraffe globe glove goblet gong grape guitar hammer hammock
    handkerchief handle harp hat hawk hedge helmet herb heron hinge hive honey hood hook horn horse
    horseshoe hourglass icicle idol inkwell instrument iron island jacket jar jewel jigsaw jug kettle key kite
    kitten knapsack knob knot ladder ladle lamp lantern lark lasso lattice ledger lemon letter
    lever lighter lizard lock locket log loom lute machine magnet mallet map marble mask mast
    medal melon microphone mill mirror mitten moon moth motor mug mushroom nail napkin necklace needle nest
    net newspaper notebook nut oar oboe ocarina olive onion opal orange orb orchid otter oven owl paddle padlock
    page painting pan parachute parasol parcel parrot passport pear pearl pebble pen pencil pendant
    pendulum pepper petal phone photograph piano pickaxe picture pigeon pillow pin pine pipe pistol pitcher plank
    plaque plate plough plum pocket poem poster potion potato prism propeller pulley pump pumpkin puppet
    purse puzzle quill quilt rabbit radar radio raft rake rattle raven razor receipt record reed ribbon rifle ring
    river robe robot rocket rod roof root rope rose rudder rug ruler sack saddle sail salmon salt sandal
    sapphire satchel saucer saw saxophone scale scarf sceptre scissor scroll sculpture seal seed shard
    shawl shell shield ship shoe shovel shrine sickle sign silk siren skate skeleton skull sled sling
    slipper snail snake snowball soap sock spade spark spear sphere spice spider spindle spoon spring sprout
    squirrel stair stamp star statue stencil stick stone stool stove straw string suitcase sundial sword
    table tablet tapestry teapot telegram telescope tent thimble thistle thread throne ticket tile timer tin
    toad token tomato tool torch totem towel tower train trap treasure trident trumpet trunk tube
    tulip tunnel turnip turtle typewriter umbrella urn vacuum valve vase vault veil vest vial vine violin visor
    wagon walnut wand wheel whip whistle wick widget wig willow window windmill wing wire wreath
    wrench yarn yoke zipper zither antenna battery beacon cartridge console cursor diskette dynamo fuse gadget
    hologram keyboard laser monitor pixel printer satellite scanner sensor server socket switch terminal
    transistor turbine contract debt promise rumour secret oath wager recipe song  portrait
    testament inheritance invitation confession alibi blueprint cipher code diagram formula manuscript
    riddle spell verdict warrant medicine poison antidote perfume tonic vaccine""".split()
)
ADJECTIVES: Final = tuple(
    """abandoned amber ancient ashen bitter black blue bold bright brass bronze broken burnt carved clean clouded
    cold copper cracked crimson crooked crystal curious damp dark deep distant dusty empty endless faded fallen
    flooded foggy forgotten forked fragile frozen gentle gilded glass glowing golden grand green grey half hanging
    haunted heavy hidden high hollow humming icy iron ivory jade last lonely long lost low marble misty mossy
    muddy narrow nameless new noisy old open painted pale paper patched polished purple quiet rainy red restless
    ringing rotten round rusty sacred salt sandy scarlet sealed secret shallow sharp shining silent silver simple
    sinking sleeping slow small smoky snowy soft spare steep stolen stone stormy strange striped sunken sunny
    tall tangled thin tiny torn twisted unfinished upper velvet violet warm wet white wicked wide wild windy
    winter wooden yellow young borrowed clockwork floating orbital underground neon solar tidal volcanic""".split()
)
PLACES: Final = tuple(
    """abbey airfield airlock airport alley apartment aquarium archive arena attic bakery balcony ballroom barn
    basement bay beach bookshop border bridge cabin cafe camp canal canyon carnival cathedral cave cellar cemetery
    chapel church circus city cliff clinic coast corridor cottage courtroom courtyard crater crossing dam
    desert diner dock dome dungeon factory fairground farm ferry field forest fort fortress foundry gallery garage
    garden glacier greenhouse grove gym hallway hangar harbour hill hospital hotel house inn island jungle kitchen
    laboratory lagoon lake library lighthouse lobby market marsh meadow metro mill mine mission monastery moor
    motel mountain museum newsroom oasis observatory office opera orchard outpost palace park pass pier plain
    planet platform plaza pool port prison pyramid quarry quay railway ravine reef refinery restaurant ridge river
    road roof rooftop ruin school shipyard shop shore spire square stable stadium station street studio subway
    summit swamp tavern temple terrace theatre tomb tower town train trench tundra tunnel university valley vault
    village vineyard volcano warehouse waterfall wharf windmill workshop yard zoo""".split()
)
MOODS: Final = tuple(
    """afraid alarmed aloof amused angry anxious awed awkward bitter bleak blissful bold bored brave breathless
    brooding calm careful cautious cheerful chilly cold comic confident confused content cool curious cynical
    dark daring defiant dejected delicate desperate determined devoted distant doubtful dreamy dry eager earnest
    eerie elated electric epic exhausted fearful festive fierce fond foreboding forlorn frantic friendly furious
    gentle gloomy grateful grave grieving grim guarded guilty happy harsh hesitant hollow hopeful hostile humble
    hurt icy impatient indifferent innocent intense intimate ironic jealous joyful jubilant languid light lonely
    longing loving lyrical melancholy mellow menacing merry mild mischievous mocking mournful mysterious mystical
    nervous neutral nostalgic numb ominous panicked passionate patient peaceful pensive playful pleading proud
    quiet raw reflective relieved reluctant resigned resolute restless reverent romantic sad sarcastic scared
    serene serious shy sincere sleepy solemn sombre stern still stormy strained strict sullen suspicious sweet
    tender tense thoughtful threatening tired tranquil triumphant troubled uneasy urgent vengeful vulnerable warm
    wary weary whimsical wistful witty worried wry""".split()
)
NAMES: Final = tuple(
    """Ada Adil Agnes Aino Alba Alma Amara Amir Ana Anders Anouk Anton Aria Arlo Astrid Aya Bashir Bea Benno Birgit
    Bram Bruno Callum Carla Cato Cedric Chidi Clara Cleo Conrad Cora Dalia Darya Dario Davi Delia Dmitri Dora
    Edda Edith Ekon Elif Elias Elin Ellis Elsa Emil Enzo Esme Esther Ewa Fadi Farah Felix Fern Fiona Flora Frida
    Gale Gita Greta Gus Hana Hanno Harald Hedda Henrik Hilda Hugo Ida Ikaika Ilse Imre Ines Ingrid Iris Isak Ivo
    Jaro Jasmin Jens Joanna Jonas Jonah Joren Juno Kaito Karim Kasia Keiko Kemal Kirsten Klara Kofi Lars Layla Lena
    Leo Leila Lior Liv Lola Lorenz Lucia Ludo Luka Lulu Mabel Magda Malik Mara Maren Marek Mateo Maud Maya Mei
    Mila Milo Mina Mira Moss Nadia Naomi Nell Niko Nils Nina Noor Nora Odd Ode Odile Olga Oona Orla Oscar Otto
    Pablo Paula Pavel Petra Pia Quentin Rafi Ramona Rasmus Remy Renata Rhea Rosa Ruben Runa Sal Samir Sanna Selma
    Senna Silas Simone Sofia Soren Stella Sven Tadeo Talia Tamsin Tariq Thea Theo Tilda Tobias Toma Ursula Uma Vera
    Victor Viggo Vito Wanda Wes Willa Xenia Yara Yasmin Yoko Yuri Zara Zeno Zoe Zuri""".split()
)
ROLES: Final = tuple(
    """actor archer baker barber beekeeper blacksmith boatman bodyguard butcher captain carpenter clerk cobbler
    collector conductor cook courier dancer detective diver doctor driver engineer farmer ferryman fisherman
    florist gambler gardener general guard guide harbourmaster healer herald hermit hunter innkeeper janitor judge
    keeper king knight lawyer librarian mayor mechanic medic merchant messenger midwife miller miner monk nurse
    officer oracle painter peddler photographer pilot pirate porter preacher prince princess prisoner professor
    queen ranger sailor scholar scout sculptor seamstress sergeant shepherd singer smith smuggler soldier spy
    stranger student tailor teacher thief trader traveller watchman weaver widow witch wizard writer""".split()
)
ENEMIES: Final = tuple(
    "bandit bat beetle crab drone ghost goblin guard hornet hound ogre raider rat robot scorpion sentry skeleton"
    " slime snake spider troll turret wraith zombie".split()
)
HAZARDS: Final = tuple("acid fire lava quicksand spikes steam thorns water wind ice".split())
TIMES: Final = tuple(
    "dawn|early morning|noon|late afternoon|dusk|evening|night|midnight|the first snow|the last day of summer|"
    "a rainy evening|the hour before sunrise|market day|the third winter|low tide".split("|")
)
RATINGS: Final = ("sfw", "romantic", "mature_implied", "restricted", "G", "PG", "PG-13", "R", "NC-17")
#: Things that nodes ask for or forbid by tag.
TAGS: Final = tuple(
    """phone_ring kiss_callback slow_dance door_slam broken_glass first_snow night_train old_song empty_chair red_scarf
    violence gore blood swearing smoking alcohol weapons nudity death spiders clowns gambling jump_scare rain
    thunder alarm footsteps laughter heartbeat sirens church_bells radio_static campfire""".split()
)

_ONSETS: Final = tuple(
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p pl pr qu r s sc sh sk sl sm sn sp st str sw t th"
    " tr tw v w y z".split()
)
_VOWELS: Final = tuple("a e i o u a e i o u ai au ea ee ei ia oa oo ou ay".split())
_CODAS: Final = (
    "",
    "",
    "",
    *"b ck d f g k l ll ld lm ln lt m mb n nd ng nk nt p r rd rk rn rt s sh sk st t th x z".split(),
)
_SUFFIXES: Final = (
    "er",
    "ing",
    "le",
    "ite",
    "ion",
    "ard",
    "en",
    "el",
    "um",
    "is",
    "o",
    "a",
    "ine",
    "ack",
    "et",
    "ish",
    "ory",
)
_LETTERS: Final = "abcdefghiklmnoprstuvwy"
#: One word in this many is never trained on.
HELD_EVERY: Final = 10
#: Share of made-up words among those that a wish names.
_MADE_UP: Final = 0.55


def held_out(word: str) -> bool:
    """Whether a word (or any word of a phrase) is kept for the evaluation."""
    return any(zlib.crc32(part.lower().encode()) % HELD_EVERY == 0 for part in word.replace("_", " ").split())


def _trained(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if not held_out(word))


_TRAINED: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    words: _trained(words) for words in (NOUNS, ADJECTIVES, PLACES, MOODS, NAMES, ROLES, ENEMIES, TAGS)
}
_KEPT: Final = {words: tuple(sorted(set(words) - set(known))) for words, known in _TRAINED.items()}
_LISTED: Final = frozenset(
    part.lower()
    for words in (*_TRAINED, TIMES, HAZARDS)
    for word in words
    for part in word.replace("_", " ").split()
)


def made_up(text: str) -> bool:
    """Whether a word (or any word of a phrase) is in no list."""
    return any(part not in _LISTED for part in text.lower().replace("_", " ").split() if part != "the")


class WordPool:
    """Draws words for one document."""

    def __init__(self, rng: random.Random, *, unseen: bool) -> None:
        """With a source of randomness; ``unseen``: what wishes name comes from words never trained on."""
        self.rng = rng
        self._unseen = unseen

    def known(self, words: tuple[str, ...]) -> str:
        """A word of a list, for what no wish names."""
        return self.rng.choice(_TRAINED[words])

    def told(self, words: tuple[str, ...], made_up: float = _MADE_UP) -> str:
        """A word that a wish names: of a list, or made up."""
        if self.rng.random() < made_up:
            word = self.made_up()
            return word.capitalize() if words is NAMES else word
        if self._unseen and words is TAGS:
            # Too few tags are kept from training to draw several from.
            return f"{self.told(NOUNS)}_{self.told(NOUNS)}"
        return self.rng.choice((_KEPT if self._unseen else _TRAINED)[words])

    def made_up(self) -> str:
        """A word that no list has, of the half of all such words that may be used here."""
        while True:
            word = self._coined()
            if held_out(word) == self._unseen and 3 <= len(word) <= 12:
                return word

    def _coined(self) -> str:
        rng = self.rng
        shape = rng.random()
        if shape < 0.5:
            parts = [
                rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
                for _ in range(rng.choice((1, 1, 2, 2, 2)))
            ]
            return "".join(parts) + (rng.choice(_SUFFIXES) if rng.random() < 0.3 else "")
        if shape < 0.75:
            return rng.choice(NOUNS + ADJECTIVES) + rng.choice(NOUNS + PLACES + ROLES)
        letters = list(rng.choice(NOUNS + PLACES + ROLES + MOODS + ADJECTIVES))
        for _ in range(rng.choice((1, 1, 2))):
            place = rng.randrange(len(letters))
            match rng.randrange(3):
                case 0:
                    letters[place] = rng.choice(_LETTERS)
                case 1:
                    letters.insert(place, rng.choice(_LETTERS))
                case _ if len(letters) > 4:
                    del letters[place]
                case _:
                    letters.append(rng.choice(_LETTERS))
        return "".join(letters)

    def thing(self, *, told: bool) -> str:
        """A noun, sometimes with an adjective: ``brass key``."""
        draw = self.told if told else self.known
        noun = draw(NOUNS)
        if self.rng.random() < (0.3 if told else 0.15):
            adjective = self.told(ADJECTIVES, 0.15) if told else self.known(ADJECTIVES)
            return f"{adjective} {noun}"
        return noun

    def place(self, *, told: bool) -> str:
        """A place, mostly with an adjective: ``frozen lake``."""
        noun = self.told(PLACES, 0.4) if told else self.known(PLACES)
        if self.rng.random() < 0.75:
            adjective = self.told(ADJECTIVES, 0.2) if told else self.known(ADJECTIVES)
            return f"{adjective} {noun}"
        return noun

    def person(self, *, told: bool) -> str:
        """A name, or a role with its article: ``the ferryman``."""
        if self.rng.random() < 0.25:
            role = self.told(ROLES, 0.3) if told else self.known(ROLES)
            return (
                f"the {self.known(ADJECTIVES)} {role}" if told and self.rng.random() < 0.25 else f"the {role}"
            )
        if told and self.rng.random() < 0.1:
            return f"{self.told(NAMES)} {self.told(NAMES)}"
        return self.told(NAMES) if told else self.known(NAMES)

    def mood(self, *, told: bool) -> str:
        """A mood."""
        return self.told(MOODS, 0.3) if told else self.known(MOODS)

    def tag(self) -> str:
        """An element as a node names it: ``phone_ring``."""
        if self.rng.random() < 0.4:
            return self.told(TAGS, 0)
        return f"{self.told(NOUNS)}_{self.told(NOUNS, 0.3)}"


def unlike(draw: object, taken: set[str]) -> str:
    """The first word drawn that is not taken; it then is."""
    assert callable(draw)  # noqa: S101 - told to the type checker
    while True:
        word = str(draw())
        if word.lower() not in taken:
            taken.add(word.lower())
            return word


def listed(items: list[str], last: str = " and ") -> str:
    """``a, b and c``."""
    return last.join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def article(noun: str) -> str:
    """``a`` or ``an`` before a noun."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def countable(noun: str) -> bool:
    """Whether the plural is the noun and an s."""
    return not noun.endswith(("s", "x", "z", "ch", "sh", "y", "f"))


NUMBERS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
