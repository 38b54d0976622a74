"""The life of models at their backends, and the routes of orders."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from service.domain.backends import Offer, ServedModel
from service.domain.bridge import translate
from service.domain.catalog import Catalog
from service.domain.errors import InvalidOrder
from service.domain.fingerprint import fingerprint_order
from service.domain.images import Operation, Parameters, Realm
from service.domain.order import SentOrder
from service.domain.serving import ends_of, with_offers
from tests.fakes.values import a_catalog, an_input, an_order

TODAY = date(2027, 1, 15)
"""All models that OpenAI has ever announced to end have ended there."""
BEFORE = date(2026, 11, 20)
LATER = date(2027, 10, 21)
OPENAI = Offer(backend="openai")
GENERATES = frozenset({Operation.GENERATE})
EDITS = frozenset({Operation.GENERATE, Operation.EDIT})


def an_offer(backend: str, *models: str, shutdown: date | None = None, **override: Any) -> Offer:
    served: Mapping[str, ServedModel] = {name: ServedModel(name=name, shutdown=shutdown) for name in models}
    return Offer(**{"backend": backend, "models": served, **override})


def serve(*offers: Offer) -> Catalog:
    return with_offers(a_catalog(), offers)


def send(catalog: Catalog, model: str, *, today: date = TODAY, **override: Any) -> SentOrder:
    return translate(catalog, an_order(catalog=catalog, asked_model=model, **override), today)


def refuse(catalog: Catalog, model: str, **override: Any) -> InvalidOrder:
    with pytest.raises(InvalidOrder) as caught:
        send(catalog, model, **override)
    assert (caught.value.param, caught.value.error_type) == ("model", "image_generation_user_error")
    return caught.value


def test_without_offers_the_catalogue_is_untouched() -> None:
    assert with_offers(a_catalog(), ()) is a_catalog()


@pytest.mark.parametrize("today", [BEFORE, TODAY])
def test_one_backend_with_all_models_sends_what_a_single_provider_gets(today: date) -> None:
    catalog = serve(OPENAI)

    for name, model in a_catalog().models.items():
        alone = translate(a_catalog(), an_order(asked_model=name), today)
        assert catalog.models[name] == model
        assert replace(send(catalog, name, today=today), backends=()) == alone
        assert send(catalog, name, today=today).backends == ("openai",)
        assert catalog.as_ordered(model, today) == a_catalog().as_ordered(model, today)
    assert catalog.sent_models(today) == a_catalog().sent_models(today)


def test_a_model_is_made_under_its_own_name_where_a_backend_outlives_the_providers_date() -> None:
    catalog = serve(OPENAI, an_offer("azure", "gpt-image-1", shutdown=LATER))
    model = catalog.models["gpt-image-1"]

    sent = send(catalog, "gpt-image-1", parameters={"size": "1024x1024"})

    assert (sent.target, sent.bridge_version, sent.backends) == (model, "", ("azure",))
    assert (model.shutdown, catalog.successor_of(model, TODAY)) == (LATER, None)
    assert "gpt-image-1" in catalog.sent_models(TODAY)
    assert catalog.sent_models(TODAY, "azure") == ("gpt-image-1",)
    assert "gpt-image-1" not in catalog.sent_models(TODAY, "openai")
    assert send(catalog, "gpt-image-1", today=LATER).target.name == "gpt-image-2.6-flare"


def test_a_model_ends_when_its_last_backend_ends_it() -> None:
    earlier, later = date(2026, 12, 24), date(2027, 5, 1)
    azure = an_offer("azure", "gpt-image-1", shutdown=earlier)
    other = an_offer("other", "gpt-image-1", shutdown=later)
    own = an_offer("own", "gpt-image-1")

    assert serve(azure).models["gpt-image-1"].shutdown == earlier
    assert serve(azure, other).models["gpt-image-1"].shutdown == later
    assert serve(azure, other, own).models["gpt-image-1"].shutdown is None
    # One that none has ever served keeps the date of the catalogue.
    assert serve(azure).models["dall-e-3"].shutdown == a_catalog().models["dall-e-3"].shutdown


def test_the_preferred_backend_comes_first_and_the_bridge_serves_the_others() -> None:
    catalog = serve(an_offer("west", "gpt-image-1", "gpt-image-2"), OPENAI, an_offer("east", "gpt-image-1"))

    sent = send(catalog, "gpt-image-1", n=4)

    assert sent.backends == ("west", "east")
    assert sent.fallback is not None
    assert (sent.fallback.target.name, sent.fallback.backends) == ("gpt-image-2.6-flare", ("openai",))
    assert sent.fallback.bridge_version
    assert sent.fallback.fallback is None
    assert send(catalog, "gpt-image-2").backends == ("west", "openai")
    assert send(catalog, "gpt-image-2").fallback is None


def test_a_backend_that_serves_both_models_makes_the_asked_one() -> None:
    catalog = serve(an_offer("both", "gpt-image-1", "gpt-image-2.6-flare"))

    assert send(catalog, "gpt-image-1").fallback is None


def test_the_route_of_an_order_changes_neither_its_fingerprint_nor_its_price() -> None:
    alone = serve(an_offer("azure", "gpt-image-1"))
    among = serve(an_offer("azure", "gpt-image-1"), OPENAI)

    one, other = send(alone, "gpt-image-1"), send(among, "gpt-image-1")

    assert one.fallback is None
    assert other.fallback is not None
    hashes = {fingerprint_order(b"key", Operation.GENERATE, each, Realm.LIVE) for each in (one, other)}
    assert len(hashes) == 1


def test_what_only_the_model_itself_takes_has_no_fallback() -> None:
    catalog = serve(an_offer("own", "dall-e-3"), OPENAI)
    # With the words for this style it is longer than the replacement allows.
    target = replace(
        catalog.models["gpt-image-2.6-flare"],
        contract=replace(catalog.models["gpt-image-2.6-flare"].contract, prompt_limit=40),
    )
    catalog = replace(catalog, models={**catalog.models, target.name: target})

    assert send(catalog, "dall-e-3").fallback is not None
    assert send(catalog, "dall-e-3", parameters={"style": "natural"}).fallback is None


def test_a_call_has_one_image_if_a_backend_of_either_form_makes_no_more() -> None:
    single = an_offer("single", "gpt-image-2.6-flare", makes_several=False)

    assert send(serve(OPENAI), "gpt-image-2.6-flare").images_per_call == 10
    assert send(serve(OPENAI, single), "gpt-image-2.6-flare").images_per_call == 1
    assert send(serve(OPENAI, single), "gpt-image-2").images_per_call == 10
    assert send(serve(an_offer("azure", "gpt-image-1"), single), "gpt-image-1").images_per_call == 1


def test_a_model_without_a_backend_is_bridged_to_one_that_has_some() -> None:
    catalog = serve(an_offer("azure", "gpt-image-2.6-flare"))

    sent = send(catalog, "gpt-image-1.5", today=BEFORE)

    assert (sent.target.name, sent.backends) == ("gpt-image-2.6-flare", ("azure",))
    assert [model.name for model in catalog.orderable(BEFORE)] == [
        *("gpt-image-2.6-flare", "gpt-image-1.5", "gpt-image-1.5-2025-12-16", "gpt-image-1-mini"),
        *("gpt-image-1", "dall-e-3", "dall-e-2"),
    ]


def test_a_model_that_no_backend_makes_is_refused_with_the_reason() -> None:
    catalog = serve(an_offer("azure", "gpt-image-2"))

    refusal = refuse(catalog, "chatgpt-image-latest")
    assert str(refusal) == (
        "The model 'chatgpt-image-latest' cannot be ordered: no backend of this gateway serves it, and none serves "
        "'gpt-image-2.6-sunburst', which replaces it. GET /v1/models lists the models that can be ordered."
    )
    assert "no backend of this gateway serves it. GET" in str(refuse(catalog, "gpt-image-2.6-sunburst"))
    assert "It is the model of orders that name none." in str(refuse(catalog, "dall-e-2"))


def test_an_operation_that_no_backend_offers_is_refused_with_those_offered() -> None:
    catalog = serve(an_offer("own", "gpt-image-2", operations=GENERATES))
    model = catalog.models["gpt-image-2"]

    refusal = refuse(catalog, "gpt-image-2", operation=Operation.EDIT, inputs=(an_input(),))

    assert str(refusal) == (
        "The model 'gpt-image-2' does not support this endpoint: no backend of this gateway offers it. "
        "Supported are: /v1/images/generations."
    )
    assert catalog.as_ordered(model, TODAY).contract.operations == (Operation.GENERATE,)


def test_an_operation_goes_to_the_backends_that_offer_it() -> None:
    catalog = serve(an_offer("own", "gpt-image-2", operations=GENERATES), OPENAI)

    assert send(catalog, "gpt-image-2").backends == ("own", "openai")
    edit = send(catalog, "gpt-image-2", operation=Operation.EDIT, inputs=(an_input(),))
    assert edit.backends == ("openai",)


def test_a_variation_becomes_an_edit_where_no_backend_varies() -> None:
    own = an_offer("own", "dall-e-2", operations=EDITS)
    asked: dict[str, Any] = {"operation": Operation.VARY, "inputs": (an_input(),), "prompt": "", "n": 2}

    bridged = send(serve(own, OPENAI), "dall-e-2", **asked)
    assert (bridged.operation, bridged.target.name) == (Operation.EDIT, "gpt-image-2.6-flare")
    assert (bridged.backends, bridged.fallback) == (("openai",), None)

    varied = send(serve(an_offer("own", "dall-e-2"), OPENAI), "dall-e-2", **asked)
    assert (varied.operation, varied.target.name, varied.backends) == (Operation.VARY, "dall-e-2", ("own",))
    # Each image of the other form has a prompt of its own.
    assert varied.images_per_call == 1
    assert varied.fallback is not None
    assert varied.fallback.operation is Operation.EDIT

    refusal = refuse(serve(own), "dall-e-2", **asked)
    assert "Supported are: /v1/images/generations, /v1/images/edits." in str(refusal)


def test_a_live_model_takes_what_it_takes_itself_although_its_replacement_takes_more() -> None:
    catalog = serve(an_offer("own", "dall-e-3", operations=GENERATES), OPENAI)

    refuse(catalog, "dall-e-3", operation=Operation.EDIT, inputs=(an_input(),))
    with pytest.raises(InvalidOrder):
        send(catalog, "dall-e-3", parameters={"size": "2048x2048"})


def test_an_alias_is_bridged_unless_a_backend_knows_its_name() -> None:
    alias = replace(a_catalog().models["gpt-image-1"], name="ours", shutdown=None)
    known = replace(a_catalog(), models={**a_catalog().models, "ours": alias})

    bridged = with_offers(known, (OPENAI,))
    assert send(bridged, "ours").target.name == "gpt-image-2.6-flare"

    named = with_offers(known, (OPENAI, an_offer("azure", "ours")))
    assert (send(named, "ours").target.name, send(named, "ours").backends) == ("ours", ("azure",))


def test_a_model_without_a_bridge_is_sent_to_its_provider_for_ever() -> None:
    kept = replace(a_catalog().models["dall-e-3"], bridge=None)
    catalog = replace(a_catalog(), models={**a_catalog().models, "dall-e-3": kept})

    served = with_offers(catalog, (OPENAI,))

    assert (send(served, "dall-e-3").target.name, served.models["dall-e-3"].shutdown) == ("dall-e-3", None)
    assert (ends_of(catalog)["dall-e-3"], ends_of(catalog)["gpt-image-1"]) == (None, date(2026, 10, 23))


@pytest.mark.parametrize(
    ("parameters", "backends"),
    [
        ({}, ("jpeg", "webp", "openai")),
        ({"output_format": "webp"}, ("jpeg", "webp", "openai")),
        ({"output_format": "gif"}, ("openai",)),
        ({"output_format": "svg"}, ("openai",)),
        ({"background": "transparent"}, ("webp", "openai")),
    ],
    ids=["png", "webp", "gif", "svg", "transparent"],
)
def test_an_order_goes_to_the_backends_whose_images_can_have_its_form(
    parameters: Parameters, backends: tuple[str, ...]
) -> None:
    name = "gpt-image-2.6-flare"
    catalog = serve(an_offer("jpeg", name, makes="jpeg"), an_offer("webp", name, makes="webp"), OPENAI)

    assert send(catalog, name, parameters=parameters).backends == backends


def test_a_form_that_no_backend_of_the_model_gives_is_bridged_or_refused() -> None:
    own = an_offer("own", "gpt-image-1", makes="jpeg")
    clear = {"background": "transparent"}

    bridged = send(serve(own, OPENAI), "gpt-image-1", parameters=clear)
    assert (bridged.target.name, bridged.backends, bridged.fallback) == (
        "gpt-image-2.6-flare",
        ("openai",),
        None,
    )
    newer = an_offer("new", "gpt-image-2.6-flare", makes="jpeg")
    with pytest.raises(InvalidOrder, match="transparent images of the model 'gpt-image-1'") as caught:
        send(serve(own, newer), "gpt-image-1", parameters=clear)
    assert caught.value.param == "background"
    with pytest.raises(InvalidOrder, match="use one of png, jpeg, webp") as caught:
        send(serve(newer), "gpt-image-2.6-flare", parameters={"output_format": "gif"})
    assert caught.value.param == "output_format"
