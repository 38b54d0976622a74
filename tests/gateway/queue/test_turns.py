from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from service.gateway.queue.turns import Entry, FairTurns, Person

MANY, FEW = Person("team", "many"), Person("team", "few")


def take(turns: FairTurns[Entry]) -> tuple[Entry, Person]:
    """Take out the entry whose turn it is."""
    taken = turns.take(lambda _: True)
    assert taken is not None
    return taken


def take_all(turns: FairTurns[str]) -> list[str]:
    """Return the entries in the order of their turns."""
    taken = []
    while turns:
        entry, owner = take(turns)
        taken.append(entry)
        turns.charge(owner, int(entry.partition("x")[2] or 1))
    return taken


def test_a_caller_with_many_calls_waits_as_long_as_one_with_few() -> None:
    turns = FairTurns[str]()
    for number in range(500):
        turns.add(f"many {number}", MANY, 1)
    turns.add("few", FEW, 1)

    assert take_all(turns)[1] == "few"


def test_an_entry_may_come_before_others_of_its_owner_only() -> None:
    turns = FairTurns[str]()
    turns.add("few", FEW, 1)
    turns.add("many 1", MANY, 1)
    turns.add("many 2", MANY, 1)
    turns.add("many again", MANY, 1, is_first=True)

    assert take_all(turns) == ["few", "many again", "many 1", "many 2"]


def test_teams_take_turns_however_many_users_they_have() -> None:
    turns = FairTurns[str]()
    for user, number in product(range(4), range(2)):
        turns.add(f"large {user} {number}", Person("large", str(user)), 1)
    for number in range(3):
        turns.add(f"small {number}", Person("small", "only"), 1)

    taken = take_all(turns)

    assert [entry.split()[0] for entry in taken[:6]] == ["large", "small"] * 3
    assert taken[::2][:3] == ["large 0 0", "large 1 0", "large 2 0"]


def test_a_turn_is_worth_an_image() -> None:
    turns = FairTurns[str]()
    for number in range(2):
        turns.add(f"a{number}x3", MANY, 3)
    for number in range(4):
        turns.add(f"b{number}", FEW, 1)

    # Three images of each: then the turn is the first one's again.
    assert take_all(turns) == ["a0x3", "b0", "b1", "b2", "a1x3", "b3"]


def test_a_lone_caller_does_not_wait_for_its_debts() -> None:
    turns = FairTurns[str]()
    turns.add("a0x10", MANY, 10)
    turns.add("a1x10", MANY, 10)

    assert take_all(turns) == ["a0x10", "a1x10"]


def test_an_entry_in_two_lanes_is_taken_out_of_one_by_the_other() -> None:
    turns = FairTurns[str]()
    turns.add("own", MANY, 1)
    turns.add("shared", MANY, 1)
    turns.add("shared", FEW, 1)

    assert take(turns) == ("own", MANY)
    turns.charge(MANY, 1)
    assert take(turns) == ("shared", FEW)
    turns.discard("shared", MANY)
    turns.discard("shared", Person("other", "team"))
    turns.discard("shared", Person("team", "other"))

    assert not turns


def test_an_entry_that_was_refused_at_its_turn_costs_none() -> None:
    turns = FairTurns[str]()
    for entry in ("a", "b"):
        turns.add(entry, MANY, 1)
    turns.add("c", FEW, 1)
    take(turns)

    assert take(turns) == ("b", MANY)


def test_who_is_passed_over_as_nothing_fits_keeps_the_turn() -> None:
    turns = FairTurns[str]()
    for entry in ("a", "b", "b later"):
        turns.add(entry, MANY, 1)
    for entry in ("c", "d"):
        turns.add(entry, FEW, 1)

    def take_if(*fitting: str) -> str | None:
        taken = turns.take(lambda entry: entry in fitting)
        if taken is None:
            return None
        turns.charge(taken[1], 1)
        return taken[0]

    assert take_if("nothing") is None
    assert take_if("b", "d") == "b"
    assert take_if("d") == "d"
    assert take_if("a", "c") == "a"
    assert take_all(turns) == ["c", "b later"]


calls = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(1, 10)), min_size=1, max_size=40
)


@given(calls)
def test_no_caller_gets_more_than_its_share_while_others_wait(asked: list[tuple[str, str, int]]) -> None:
    """A user never leads another of its team by more than one call and an image."""
    turns = FairTurns[tuple[int, int]]()
    for number, (_, user, images) in enumerate(asked):
        turns.add((number, images), Person("team", user), images)
    got: dict[str, int] = dict.fromkeys((user for _, user, _ in asked), 0)
    left = {user: sum(images for _, each, images in asked if each == user) for user in got}
    while turns:
        (_, images), owner = take(turns)
        turns.charge(owner, images)
        got[owner.user] += images
        left[owner.user] -= images
        waiting = [got[user] for user in got if left[user]]
        if left[owner.user]:
            assert max(waiting) - min(waiting) <= 10


@given(calls, st.integers(1, 10))
def test_the_images_ahead_are_those_that_come_ahead(asked: list[tuple[str, str, int]], n: int) -> None:
    turns = FairTurns[str]()
    for number, (team, user, _) in enumerate(asked):
        turns.add(f"{number}", Person(team, user), 1)
    mine = Person("a", "x")
    ahead = turns.count_ahead(mine, n)
    for number in range(n):
        turns.add(f"mine {number}", mine, 1)

    place = take_all(turns).index(f"mine {n - 1}")

    # Never fewer; a caller who waits already may come earlier in a round, by the number of callers in its team.
    assert 0 <= ahead - place <= 6
