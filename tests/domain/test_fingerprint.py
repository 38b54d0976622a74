import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.bridge import translate
from service.domain.fingerprint import fingerprint_order, identify_order, keyed_hash
from service.domain.images import Cutout, Delivery, Finish, Operation, Realm
from service.domain.order import CacheControl, Idempotency
from tests.fakes.clock import FakeClock
from tests.fakes.values import a_caller, a_catalog, a_sent_order, an_input, an_order

KEY = b"key"


def fingerprint(*, key: bytes = KEY, realm: Realm = Realm.SANDBOX, **sent: Any) -> str:
    return fingerprint_order(key, Operation.GENERATE, a_sent_order(**sent), realm)


def fingerprint_of_order(**asked: Any) -> str:
    sent = translate(a_catalog(), an_order(**asked), FakeClock().today())
    return fingerprint_order(KEY, Operation.GENERATE, sent, Realm.SANDBOX)


def test_it_is_32_hex_digits_and_hides_the_prompt() -> None:
    name = fingerprint(prompt="secret")

    assert len(name) == 32
    assert set(name) <= set("0123456789abcdef")


@given(st.permutations([("quality", "low"), ("size", "1024x1024"), ("background", "opaque")]))
def test_the_order_of_parameters_does_not_count(pairs: list[tuple[str, str]]) -> None:
    expected = fingerprint(parameters={"background": "opaque", "quality": "low", "size": "1024x1024"})

    assert fingerprint(parameters=dict(pairs)) == expected


@given(st.text(min_size=1))
def test_the_composition_of_unicode_does_not_count(prompt: str) -> None:
    composed, decomposed = unicodedata.normalize("NFC", prompt), unicodedata.normalize("NFD", prompt)

    assert fingerprint(prompt=composed) == fingerprint(prompt=decomposed)


def test_lone_surrogates_are_hashed_as_they_are() -> None:
    assert fingerprint(prompt="\ud800") != fingerprint(prompt="\ud801")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"parameters": {"quality": "standard"}}),
        ({}, {"parameters": {"size": "1024x1024", "style": "vivid"}}),
        ({}, {"n": 4}),
        ({}, {"delivery": Delivery.URL}),
        ({}, {"caller": a_caller(user="bob")}),
        ({}, {"id": "order-2", "deadline_s": 9999.0, "safety_identifier": "me"}),
        ({"asked_model": "gpt-image-1"}, {"asked_model": "gpt-image-1", "parameters": {"quality": "auto"}}),
    ],
)
def test_equivalent_orders_share_a_fingerprint(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert fingerprint_of_order(**one) == fingerprint_of_order(**other)


@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "A lighthouse."},
        {"asked_model": "gpt-image-2.6-flare", "parameters": {"quality": "medium", "size": "1024x1024"}},
        {"parameters": {"quality": "hd"}},
        {"parameters": {"style": "natural"}},
        {"parameters": {"size": "1792x1024"}},
        {"parameters": {"output_format": "webp"}},
    ],
)
def test_different_orders_do_not_share_a_fingerprint(asked: dict[str, Any]) -> None:
    assert fingerprint_of_order(**asked) != fingerprint_of_order()


@pytest.mark.parametrize(
    "other",
    [
        {"key": b"another"},
        {"realm": Realm.LIVE},
        {"target": a_catalog().models["gpt-image-2"]},
        {"finish": Finish(256, 256)},
        {"output_format": "jpeg"},
        {"bridge_version": "2"},
        {"parameters": {"quality": "medium", "output_compression": 1}},
        {"parameters": {"quality": "medium", "output_compression": "1"}},
        {"inputs": (an_input(),)},
        {"instructions": ("Paint a variation.",)},
    ],
)
def test_every_change_to_the_image_changes_the_fingerprint(other: dict[str, Any]) -> None:
    assert fingerprint(**other) != fingerprint()


def test_resampled_sizes_do_not_share_a_pool() -> None:
    names = {fingerprint(finish=Finish(*pixels)) for pixels in [(256, 256), (512, 512), (256, 512)]}

    assert len(names) == 3


def test_a_number_is_not_its_text() -> None:
    assert fingerprint(parameters={"x": 1}) != fingerprint(parameters={"x": "1"})


def test_a_keyed_hash_cannot_be_guessed_without_its_key() -> None:
    assert keyed_hash(b"a", "ann") == keyed_hash(b"a", "ann")
    assert keyed_hash(b"a", "ann") != keyed_hash(b"b", "ann")


def test_inputs_count_by_their_bytes_and_not_their_path() -> None:
    one, moved = an_input(path="/uploads/1"), an_input(path="/uploads/2")
    other = an_input(digest="another")

    assert fingerprint(inputs=(one,)) == fingerprint(inputs=(moved,))
    assert fingerprint(inputs=(one,)) != fingerprint(inputs=(other,))


def test_the_order_and_the_roles_of_inputs_count() -> None:
    one, other, mask = an_input(digest="1"), an_input(digest="2"), an_input("mask", digest="2")
    several = [(one,), (one, one), (one, other), (other, one), (one, mask)]

    assert len({fingerprint(inputs=inputs) for inputs in several}) == len(several)


def test_a_cutout_counts() -> None:
    cutout = Cutout(an_input(), an_input("mask"))

    assert fingerprint(finish=Finish(256, 256, cutout)) != fingerprint(finish=Finish(256, 256))


def test_the_endpoint_counts() -> None:
    sent = a_sent_order(inputs=(an_input(),))

    names = {fingerprint_order(KEY, operation, sent, Realm.SANDBOX) for operation in Operation}

    assert len(names) == 3


def test_lists_inside_the_name_cannot_run_into_each_other() -> None:
    one = fingerprint(inputs=(an_input("image", digest="a"), an_input("image", digest="b")))

    assert one != fingerprint(inputs=(an_input("image", digest="a,b"),))


def test_an_object_as_a_parameter_counts_whatever_its_order() -> None:
    one = {"svg": {"model": "m", "reasoning": {"effort": "low"}}}
    same = {"svg": {"reasoning": {"effort": "low"}, "model": "m"}}
    other = {"svg": {"model": "m", "reasoning": {"effort": "high"}}}

    assert fingerprint(parameters=one) == fingerprint(parameters=same)
    assert fingerprint(parameters=one) != fingerprint(parameters=other)


def identity(*, key: bytes = KEY, **asked: Any) -> Idempotency:
    found = identify_order(key, an_order(**{"idempotency_key": "once", **asked}))
    assert found is not None
    return found


def test_an_order_without_an_idempotency_key_has_no_identity() -> None:
    assert identify_order(KEY, an_order()) is None


def test_an_identity_hides_the_key_and_the_order() -> None:
    hashes = identity()

    assert [len(each) for each in (hashes.key, hashes.order)] == [32, 32]
    assert set(hashes.key + hashes.order) <= set("0123456789abcdef")
    assert hashes.key != hashes.order


@pytest.mark.parametrize(
    "other",
    [
        {"operation": Operation.EDIT},
        {"asked_model": "gpt-image-2"},
        {"prompt": "A lighthouse."},
        {"n": 2},
        {"parameters": {"quality": "hd"}},
        {"delivery": Delivery.URL},
        {"safety_identifier": "end-user-7"},
        {"inputs": (an_input(),)},
    ],
)
def test_another_order_under_the_same_key_is_distinguished(other: dict[str, Any]) -> None:
    assert identity(**other).order != identity().order
    assert identity(**other).key == identity().key


def test_inputs_tell_orders_apart_by_their_bytes_their_roles_and_their_order() -> None:
    one, two, mask = an_input(digest="1"), an_input(digest="2"), an_input("mask", digest="2")
    several = [(one,), (two,), (one, two), (two, one), (one, mask)]

    assert len({identity(inputs=inputs).order for inputs in several}) == len(several)
    assert identity(inputs=(one,)) == identity(inputs=(an_input(digest="1", path="/uploads/again"),))


@pytest.mark.parametrize(
    "same",
    [
        {"id": "order-2"},
        {"deadline_s": 9999.0},
        {"cache": CacheControl(reuse=False)},
        {"is_streamed": True, "partial_images": 2},
    ],
)
def test_processing_options_do_not_change_an_identity(same: dict[str, Any]) -> None:
    assert identity(**same) == identity()


def test_a_repeated_order_may_be_written_differently() -> None:
    one = identity(prompt="the\u00e9", parameters={"quality": "hd", "style": "vivid"})

    assert one == identity(prompt="thee\u0301", parameters={"style": "vivid", "quality": "hd"})


@pytest.mark.parametrize(
    "caller",
    [
        a_caller(team="another"),
        a_caller(user="bob"),
        a_caller(key_id="key-1"),
        a_caller(key_id="key-2"),
    ],
)
def test_each_caller_has_separate_keys(caller: Any) -> None:
    mine, theirs = identity(caller=a_caller()), identity(caller=caller)

    assert theirs.key != mine.key
    assert theirs.order == mine.order


def test_each_api_key_has_separate_keys() -> None:
    """Its user may be given another name in between."""
    names = {identity(caller=a_caller(user=user, key_id="key-1")).key for user in ("ann", "bob")}

    assert len(names) == 1


def test_keys_differ_by_every_letter_and_the_secret() -> None:
    names = {identity(idempotency_key=key).key for key in ("once", "Once", "once ", "twice")}

    assert len(names) == 4
    assert identity(key=b"another").key not in names
    assert identity(key=b"another").order != identity().order


def test_lone_surrogates_in_an_order_are_no_fault() -> None:
    assert identity(prompt="\ud800").order != identity(prompt="\ud801").order
