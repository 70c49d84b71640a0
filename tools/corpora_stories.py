"""Very short stories by a grammar: somebody, a home, a wish, a helper who knows where to look, a
way with something in it, and a good end.

What is said once stays true to the end of a story: the name, he or she, the wish, where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tools.dice import Dice


class Person(NamedTuple):
    name: str
    they: str
    them: str
    their: str


class Wish(NamedTuple):
    thing: str
    use: str
    """What one does with it."""


class Trouble(NamedTuple):
    what: str
    answer: str


WOMEN = "Mina Tilly Poppy Nell Iris Dora Luna Hazel".split()
MEN = "Pip Bram Otto Finn Rufus Toby Jory Sam".split()
PEOPLE = [Person(name, "she", "her", "her") for name in WOMEN]
PEOPLE += [Person(name, "he", "him", "his") for name in MEN]
KINDS = "fox mouse hare otter hedgehog bear duck mole badger goat frog squirrel".split()
SIZES = "small little young brave quiet cheerful".split()
HOMES = (
    "in a mill by the river",
    "under an old oak tree",
    "in a blue house on the hill",
    "at the edge of the marsh",
    "in a boat on the lake",
    "behind the baker's shop",
    "in a lighthouse by the sea",
    "in a garden full of beans",
)
WISHES = (
    Wish("a red kite", "flew it until the stars came out"),
    Wish("a drum", "played it until all the birds joined in"),
    Wish("a lantern", "hung it over the door, where it shone all night"),
    Wish("a warm scarf", "wore it all through the winter"),
    Wish("a paper boat", "sailed it to the other side of the pond and back"),
    Wish("a honey cake", "shared it with everyone who came by"),
    Wish("a silver bell", "rang it every morning to wake the sun"),
    Wish("a yellow umbrella", "danced under it in the rain"),
    Wish("a bag of seeds", "planted them, and soon there were flowers everywhere"),
    Wish("a book of stories", "read it by the fire every evening"),
    Wish("a wooden whistle", "made up a new song every day"),
    Wish("a green hat", "was never without it again"),
)
PLACES = (
    "under the stone bridge",
    "at the top of the tower",
    "in the hollow tree",
    "behind the waterfall",
    "at the bottom of the well",
    "on the other side of the hill",
    "in the old boat house",
    "beside the frozen pond",
)
HELPERS = (
    "an old heron", "a sleepy owl", "a kind toad", "a busy ant",
    "a white goose", "a grey cat", "a wise snail", "a shy deer",
)  # fmt: skip
TROUBLES = (
    Trouble("it began to rain", "put a big leaf on {their} head and walked on"),
    Trouble("it grew dark", "waited until the moon showed the way"),
    Trouble("there was a wide stream", "jumped from stone to stone"),
    Trouble("the wind blew hard", "held on to the grass until it was over"),
    Trouble("the path was steep", "took one small step after another"),
    Trouble("there was a tall wall", "looked for a hole and found one"),
)

BEGIN = (
    "Once there was a {size} {kind} called {name} who lived {home}.",
    "{name} was a {size} {kind}. {They} lived {home}.",
    "There was a {size} {kind} {home}, and {their} name was {name}.",
)
WANT = (
    "More than anything {name} wished for {thing}.",
    "{name} had one wish: {thing}.",
    "Every night {name} dreamed of {thing}.",
)
MEET = (
    'One morning {they} asked {helper}. "Look {place}," said {the_helper}.',
    '"Look {place}," said {helper} who came by.',
    '{Helper} heard of it and said, "Look {place}."',
)
WAY = (
    "{name} set out at once. On the way {trouble}, but {they} {answer}.",
    "So {name} went. Soon {trouble}, but {name} {answer}.",
)
FIND = (
    "And there, {place}, was {thing}!",
    "{Place} {they} found {thing}, just as {the_helper} had said.",
)
END = (
    "{name} was very happy and {use}.",
    "{name} took it home and {use}.",
    "{They} laughed out loud, and {they} {use}.",
)
LAST = (
    "That night {name} said thank you to the stars.",
    "And {the_helper} came to visit every Sunday.",
    "From then on {name} and {the_helper} were friends.",
    "It was the best day of the year.",
)


def story(dice: Dice) -> str:
    """One story, of one line."""
    person, wish = dice.pick(PEOPLE), dice.pick(WISHES)
    trouble, place, helper = dice.pick(TROUBLES), dice.pick(PLACES), dice.pick(HELPERS)
    pronouns = {"they": person.they, "them": person.them, "their": person.their}
    told = {
        **pronouns,
        "They": person.they.capitalize(),
        "name": person.name,
        "size": dice.pick(SIZES),
        "kind": dice.pick(KINDS),
        "home": dice.pick(HOMES),
        "thing": wish.thing,
        "use": wish.use,
        "helper": helper,
        "Helper": helper.capitalize(),
        "the_helper": "the " + helper.split(" ", 1)[1],
        "place": place,
        "Place": place.capitalize(),
        "trouble": trouble.what,
        "answer": trouble.answer.format(**pronouns),
    }
    parts = (BEGIN, WANT, MEET, WAY, FIND, END, LAST)
    return " ".join(dice.pick(part).format(**told) for part in parts)


def stories(count: int, seed: int = 3) -> Iterator[str]:
    """So many stories, each another one."""
    dice, seen = Dice(seed), set[str]()
    while len(seen) < count:
        one = story(dice)
        if one not in seen:
            seen.add(one)
            yield one
