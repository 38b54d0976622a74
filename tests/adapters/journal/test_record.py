"""The files of a journal keep their form: gateways of two versions may share a directory."""

from dataclasses import replace

import orjson

from service.adapters.journal.record import decode_settlement, encode_settlement
from service.domain.images import Image, Operation, Realm
from service.domain.limits import Limit, Resource
from service.domain.order import Idempotency, Origin
from service.ports.admission import Conclusion
from tests.fakes.values import a_settlement, a_ticket

IMAGE = {
    "digest": "ab" * 32,
    "format": "png",
    "width": 8,
    "height": 4,
    "size_bytes": 7,
    "created_s": 1,
    "revised_prompt": None,
    "usage": {"output_tokens": 5},
    "resolved": {"size": "8x4"},
    "cost_microusd": None,
    "answered_model": None,
    "credentials": "none",
}
FILE = {
    "id": "order",
    "part": "0.0",
    "fence": "order.0",
    "team": "shop",
    "user": "ann",
    "model": "gpt-image-2",
    "realm": "live",
    "pool": "ig:1:{shop}:pool:team:f",
    "limits": [{"resource": "images", "scope": "user", "key": "ann", "amount": 5}],
    "made": [[3, IMAGE]],
    "released": [4],
    "refunded": 1,
    "unknown": 2,
    "forgotten": [[1, "cd"]],
    "scopes": [["user", "ann"], ["team", "shop"]],
    "weight": 2,
    "estimate_microusd": 40,
    "origin": {
        "asked_model": "dall-e-3",
        "operation": "edit",
        "fingerprint": "f",
        "parents": ["p"],
        "is_brief": True,
    },
    "unstored": ["ab" * 32],
    "idempotency": {"key": "k", "order": "o"},
    "is_last": True,
    "conclusion": {"images": [IMAGE], "failures": []},
}
"""A file as the first version wrote it."""

MADE = Image(
    digest="ab" * 32,
    format="png",
    width=8,
    height=4,
    size_bytes=7,
    created_s=1,
    usage={"output_tokens": 5},
    resolved={"size": "8x4"},
)
SETTLEMENT = a_settlement(
    ticket=a_ticket(
        id="order",
        team="shop",
        user="ann",
        scopes=(("user", "ann"), ("team", "shop")),
        model="gpt-image-2",
        realm=Realm.LIVE,
        pool="ig:1:{shop}:pool:team:f",
        limits=(Limit(resource=Resource.IMAGES, scope="user", key="ann", amount=5),),
        weight=2,
        estimate_microusd=40,
        origin=Origin(
            asked_model="dall-e-3",
            operation=Operation.EDIT,
            fingerprint="f",
            parents=("p",),
            is_brief=True,
        ),
        idempotency=Idempotency(key="k", order="o"),
    ),
    made=((3, MADE),),
    released=(4,),
    refunded=1,
    unknown=2,
    forgotten=((1, "cd"),),
    unstored=("ab" * 32,),
    is_last=True,
    conclusion=Conclusion(images=(MADE,)),
)


def test_a_settlement_is_written_in_the_form_of_the_first_version() -> None:
    written = orjson.loads(encode_settlement(SETTLEMENT))

    # What was added since is passed over by that version.
    image = {**IMAGE, "backend": "", "sent_model": ""}
    added = {"sent_s": None, "backend": "", "sent_model": ""}
    conclusion = {"images": [image], "failures": []}
    assert written == {**FILE, **added, "made": [[3, image]], "conclusion": conclusion}


def test_the_backend_and_its_model_are_kept() -> None:
    made = replace(MADE, backend="azure", sent_model="gpt-image-1")
    settlement = replace(SETTLEMENT, backend="azure", model="gpt-image-1", made=((3, made),))

    assert decode_settlement(encode_settlement(settlement)) == settlement


def test_the_time_of_the_first_sending_is_kept() -> None:
    sent = replace(SETTLEMENT, sent_s=1_800_000_000.5)

    assert decode_settlement(encode_settlement(sent)).sent_s == sent.sent_s


def test_a_file_of_the_first_version_is_read() -> None:
    assert decode_settlement(orjson.dumps(FILE)) == SETTLEMENT


def test_absent_fields_have_the_defaults_of_the_first_version() -> None:
    names = ("id", "part", "fence", "team", "user", "model", "realm", "pool", "limits")

    settlement = decode_settlement(orjson.dumps({name: FILE[name] for name in names}))

    assert (settlement.made, settlement.unknown, settlement.is_last) == ((), 0, False)
    assert (settlement.ticket.price.weight, settlement.ticket.caller.scopes) == (1, ())


def test_a_settlement_of_no_images_had_no_origin() -> None:
    """The first version wrote none for a variant that was gone, nor for the end of a key."""
    settlement = decode_settlement(orjson.dumps({**FILE, "origin": None, "made": []}))

    assert (settlement.ticket.origin.asked_model, settlement.ticket.origin.is_brief) == ("", False)
