from service.gateway.queue.durations import Kind
from service.gateway.queue.holdings import Holdings
from service.gateway.queue.turn import Turn
from service.gateway.queue.turns import Person
from service.gateway.routing.route import Route

KIND = Kind("gpt-image-2", "generate", "high", 21, 0)
MANY, FEW = Person("many", "a"), Person("few", "user")


def a_turn(user: str, team: str = "many", held_bytes: int = 1) -> Turn:
    return Turn(
        kind=KIND,
        route=Route(()),
        owners=[Person(team, user)],
        images=1,
        deadline_s=0.0,
        held_bytes=held_bytes,
    )


def a_line(most: int, turns: list[Turn]) -> Holdings:
    holdings = Holdings(most, lambda turn: turn.held_bytes)
    for turn in turns:
        holdings.add(turn)
    return holdings


def test_where_there_is_room_nobody_gives_way() -> None:
    assert a_line(2, [a_turn("a")]).find_surplus(FEW, [a_turn("few")]) == []


def test_nobody_gives_way_in_an_empty_line() -> None:
    assert a_line(2, []).find_surplus(FEW, [a_turn("few", held_bytes=3)]) is None
    assert a_line(2, []).find_surplus(FEW, [a_turn("few", held_bytes=3)], free=1) == []


def test_users_of_the_largest_team_give_way_in_turn_and_only_down_to_the_newcomers_share() -> None:
    turns = [a_turn(user) for user in ("a", "b", "a", "b")]
    holdings = a_line(5, [*turns, a_turn("c", team="small")])

    for _ in range(2):
        # To ask changes nothing.
        assert holdings.find_surplus(FEW, [a_turn("few")] * 2) == [turns[2], turns[3]]
        assert holdings.find_surplus(FEW, [a_turn("few")] * 3) is None


def test_in_a_team_who_holds_most_gives_way() -> None:
    turns = [a_turn("a"), a_turn("a"), a_turn("b")]

    assert a_line(3, turns).find_surplus(Person("many", "new"), [a_turn("new")]) == [turns[1]]
    assert a_line(3, turns).find_surplus(Person("many", "b"), [a_turn("b")]) is None


def test_a_caller_does_not_push_itself_out() -> None:
    holdings = a_line(2, [a_turn("a"), a_turn("a"), a_turn("a")])

    assert holdings.find_surplus(MANY, [a_turn("a")]) is None
    assert holdings.find_surplus(MANY, []) is None


def test_a_call_without_bytes_does_not_give_way_to_bytes() -> None:
    large, small = a_turn("a", held_bytes=5), a_turn("a", held_bytes=0)
    holdings = a_line(5, [large, small])

    assert holdings.find_surplus(FEW, [a_turn("few")]) == [large]
    holdings.remove(small)
    holdings.remove(large)
    assert holdings.total == 0
