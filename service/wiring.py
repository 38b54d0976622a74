"""The composition root: which adapter stands behind each port, opened in order and closed in reverse."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import httpx
from aiolimiter import AsyncLimiter
from redis.asyncio import Redis

from service.adapters.downloads import ImageDownloads
from service.adapters.jwks import JwksSource
from service.adapters.jwt import JwtVerifier, TokenRules
from service.adapters.links import SignedLinks
from service.adapters.logs import LoggedTelemetry
from service.adapters.openai.backend import BackendAddress, OpenAIBackend, Timeouts, open_transport
from service.adapters.openai.moderation import ListModerator, ProviderModerator
from service.adapters.outbox import FileOutbox
from service.adapters.pillow import PillowPictures
from service.adapters.prometheus import PrometheusMetrics
from service.adapters.redis.advice import advise
from service.adapters.redis.callers import RedisCallers
from service.adapters.redis.client import open_client, translated_errors
from service.adapters.redis.heartbeats import RedisHeartbeats
from service.adapters.redis.keys import pool_key
from service.adapters.redis.ledger import RedisLedger
from service.adapters.redis.notices import RedisNotices
from service.adapters.redis.orders import RedisOrderBook
from service.adapters.redis.references import RedisReferences
from service.adapters.redis.turns import RedisTurns
from service.adapters.redis.wakeups import RedisWakeups
from service.adapters.secrets import derive_key
from service.adapters.store import ObjectStore
from service.adapters.system import SystemClock
from service.domain.callers import DeclaredNames, Directory, Policy, Team
from service.domain.catalog import Catalog, CatalogError, parse_catalog
from service.domain.errors import StateUnavailable
from service.domain.fingerprint import keyed_hash
from service.domain.images import ImageOrder, Realm
from service.domain.retrying import RetryRule
from service.gateway.acceptance import Acceptance, OrderKeys, PoolName
from service.gateway.administration import Administration
from service.gateway.attempts import Attempts
from service.gateway.callers import Callers, Credentials
from service.gateway.coalescing import Coalescing
from service.gateway.degraded import LocalShare
from service.gateway.dispatch import Dispatcher
from service.gateway.flights import Flights
from service.gateway.generate import Generate
from service.gateway.hits import Hits
from service.gateway.idempotency import Idempotence
from service.gateway.keeping import Keeper
from service.gateway.obstacles import Obstacles
from service.gateway.orders import OrderRunner
from service.gateway.ownership import Ownership
from service.gateway.purging import Purging
from service.gateway.refusals import Refusals
from service.gateway.retention import Retention, Rules
from service.gateway.state import LEASE_S, SharedState
from service.gateway.usage import Usage
from service.http.services import HttpServices
from service.http.uploads import sweep
from service.ports.callers import TokenVerifier
from service.ports.clock import Clock
from service.ports.provider import Moderator
from service.ports.telemetry import StateFailed, Telemetry
from service.settings.problems import SettingsError
from service.settings.variables import Settings

_log = logging.getLogger(__name__)
_REDIS_CONNECTIONS = 64
_POST_PAUSE_S = 1.0
_PICTURE_WORKERS = 2
_LONGEST_ORDER_S = 2 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the supervisor found or started for this process.

    *sandbox_url* None means the real provider. *secrets* are newest first.
    """

    redis_url: str
    sandbox_url: str | None
    public_url: str
    secrets: tuple[str, ...]


def check_settings(settings: Settings) -> None:
    """Find out before anything is started whether what is set can work together.

    Raises:
        SettingsError: naming the setting and what would be right.
    """
    try:
        catalog = load_catalog(settings)
    except CatalogError as error:
        raise SettingsError(f"{settings.config}: {error}") from error
    for name, policy in settings.file.policies.items():
        for model in policy.models:
            if model not in catalog.models:
                raise SettingsError(f"{settings.config}: policies.{name}.models: there is no model '{model}'")
    _check_addresses(settings)
    if settings.redis_url is not None:
        _check_redis_url(settings.redis_url.get_secret_value())
    if "jwt" in settings.auth:
        _check_jwt(settings)


def _check_redis_url(url: str) -> None:
    try:
        # Reads all of it, and connects to nothing.
        open_client(url, timeout_s=1, connections=1)
    except ValueError as error:
        raise SettingsError(f"GATEWAY_REDIS_URL: {error}") from None


def _check_jwt(settings: Settings) -> None:
    try:
        _token_rules(settings)
        JwksSource(settings.jwt.jwks, client=httpx.AsyncClient(), clock=SystemClock())
    except ValueError as error:
        raise SettingsError(f"GATEWAY_JWT: {error}") from error


def _check_addresses(settings: Settings) -> None:
    try:
        ImageDownloads(settings.provider_url, trusted=settings.trusted_hosts)
    except ValueError as error:
        raise SettingsError(f"GATEWAY_DOWNLOAD_HOSTS: {error}") from error
    if settings.store_url is not None:
        try:
            ObjectStore(settings.store_url, options=settings.store_options)
        except ValueError as error:
            raise SettingsError(f"GATEWAY_STORE_URL: {error}") from error


def load_catalog(settings: Settings) -> Catalog:
    """Return the built-in catalogue with the operator's entries laid over it."""
    text = (files("service.domain") / "models.toml").read_text("utf-8")
    return parse_catalog(text, settings.file.models)


@asynccontextmanager
async def open_services(settings: Settings, surroundings: Surroundings) -> AsyncIterator[HttpServices]:
    """Open everything a process needs to serve; leaving drains the orders first."""
    clock = SystemClock()
    metrics = PrometheusMetrics(version=version("image-gateway"))
    telemetry = LoggedTelemetry(metrics)
    # Hashes that must stay what they are while a secret is being replaced come from the oldest.
    secret = surroundings.secrets[-1]
    process = uuid4().hex
    async with AsyncExitStack() as stack:
        redis = _open_redis(settings, surroundings, stack, connections=_REDIS_CONNECTIONS)
        listener = _open_redis(settings, surroundings, stack, connections=2)
        is_greeted = await _greet_redis(settings, surroundings, redis, telemetry)
        store = ObjectStore(_store_url(settings), options=settings.store_options)
        await store.probe()
        pictures = PillowPictures(workers=_PICTURE_WORKERS)
        stack.callback(pictures.close)
        address = _backend_address(settings, surroundings)

        references = RedisReferences(redis, clock=clock, timeout_s=settings.redis_timeout_s)
        flights = Flights()
        state = _open_state(settings, redis, clock, telemetry, process)
        dispatcher = Dispatcher(
            attempts=Attempts(
                backend=_open_backend(settings, address, stack),
                clock=clock,
                telemetry=telemetry,
                rule=RetryRule(),
            ),
            keeper=Keeper(pictures=pictures, store=store, clock=clock),
            state=state,
            flights=flights,
            telemetry=telemetry,
            clock=clock,
            max_calls=settings.max_calls_in_flight,
        )
        runner = await stack.enter_async_context(OrderRunner(telemetry=telemetry, drain_s=settings.drain_s))
        wakeups = RedisWakeups(listener, process=process)
        heartbeats = RedisHeartbeats(redis, process=process, timeout_s=settings.redis_timeout_s)
        verifier = await _open_verifier(settings, clock, stack)
        callers = _open_callers(settings, surroundings, redis, clock, verifier)
        audit = RedisCallers(redis, timeout_s=settings.redis_timeout_s)
        await _look_at_directory(settings, redis, callers)
        for name, loop in {
            "beat": lambda: state.beat_forever(heartbeats),
            "renew": state.renew_forever,
            "replay": state.replay_forever,
            "listen": lambda: state.listen_forever(wakeups, flights),
            "callers": callers.watch_forever,
            "sweep": _open_retention(settings, redis, references, store, telemetry, process).sweep_forever,
            "notices": lambda: _post_later(settings, surroundings, redis, is_done=is_greeted),
        }.items():
            runner.keep(name, loop)
        catalog = load_catalog(settings)
        metrics.watch_models({model.name: model.shutdown for model in catalog.models.values()}, clock.today)
        yield HttpServices(
            generate=Generate(
                acceptance=Acceptance(
                    catalog=catalog,
                    keys=OrderKeys(
                        fingerprint=derive_key(secret, "fingerprint"), person=derive_key(secret, "person")
                    ),
                    realm=address.realm,
                    clock=clock,
                    pool_name=_pool_name(settings),
                    pass_unknown=settings.file.backend.pass_unknown,
                    counts_unpriced=settings.unpriced == "count",
                ),
                runner=runner,
                state=state,
                idempotence=Idempotence(state=state, store=store, references=references, clock=clock),
                hits=Hits(
                    state=state, store=store, references=references, flights=flights, telemetry=telemetry
                ),
                obstacles=Obstacles(
                    store=store,
                    refusals=Refusals(clock),
                    moderator=await _open_moderator(settings, address, stack),
                ),
                dispatcher=dispatcher,
                coalescing=Coalescing(flights=flights, store=store, clock=clock, telemetry=telemetry),
                clock=clock,
                telemetry=telemetry,
            ),
            runner=runner,
            state=state,
            catalog=catalog,
            files=store,
            ownership=Ownership(
                references=references,
                outbox=_outbox(settings),
                audit=audit,
                clock=clock,
                telemetry=telemetry,
            ),
            purging=Purging(references=references, audit=audit, clock=clock, telemetry=telemetry),
            inputs=pictures,
            links=SignedLinks(
                public_url=surroundings.public_url,
                keys=[derive_key(each, "image-link") for each in surroundings.secrets],
                ttl_s=settings.url_ttl_s,
                clock=clock,
            ),
            clock=clock,
            telemetry=telemetry,
            callers=callers,
            administration=_administration(settings, redis, callers, clock, telemetry),
            usage=_usage(settings, redis, clock),
            is_open=settings.is_open,
            metrics_key=settings.metrics_key.get_secret_value() if settings.metrics_key else None,
            redirect_s=settings.store_redirect_s,
            deadline_s=settings.deadline_s,
            caches=settings.cache == "on",
            uploads=_open_uploads(settings),
            render_metrics=lambda: (metrics.render(), metrics.content_type),
        )


def _open_redis(
    settings: Settings, surroundings: Surroundings, stack: AsyncExitStack, *, connections: int
) -> Redis:
    client = open_client(surroundings.redis_url, timeout_s=settings.redis_timeout_s, connections=connections)
    stack.push_async_callback(client.aclose)
    return client


def _open_state(
    settings: Settings, redis: Redis, clock: Clock, telemetry: Telemetry, process: str
) -> SharedState:
    return SharedState(
        book=RedisOrderBook(
            redis,
            clock=clock,
            timeout_s=settings.redis_timeout_s,
            lease_s=LEASE_S,
            ttl_s=settings.cache_ttl_s,
            process=process,
        ),
        outbox=_outbox(settings),
        clock=clock,
        telemetry=telemetry,
        local=LocalShare(
            clock=clock,
            processes=settings.replicas * settings.workers,
            spends_budgets=settings.budgets_without_redis == "spend",
        ),
    )


def _open_retention(
    settings: Settings,
    redis: Redis,
    references: RedisReferences,
    store: ObjectStore,
    telemetry: Telemetry,
    process: str,
) -> Retention:
    return Retention(
        references=references,
        leftovers=references,
        store=store,
        turns=RedisTurns(redis, process=process, timeout_s=settings.redis_timeout_s),
        clock=SystemClock(),
        telemetry=telemetry,
        rules=Rules(longest_s=settings.retention_s, most_bytes=settings.retention_bytes),
        sweep_s=settings.sweep_s,
    )


async def _greet_redis(
    settings: Settings, surroundings: Surroundings, client: Redis, telemetry: Telemetry
) -> bool:
    """Say at once that Redis is away; the gateway serves all the same, by its local share."""
    try:
        with translated_errors():
            await client.ping()
        await _post_notices(settings, surroundings, client)
    except StateUnavailable as error:
        telemetry.record(StateFailed(operation="start", reason=error.reason))
        advice = advise(error.reason, surroundings.redis_url)
        _log.warning("%s Until then limits fall to a local share, and nothing is cached.", advice)
        return False
    return True


async def _post_later(
    settings: Settings, surroundings: Surroundings, client: Redis, *, is_done: bool
) -> None:
    """Leave the notices once Redis is back, then do nothing more."""
    while not is_done:
        with suppress(StateUnavailable):
            await _post_notices(settings, surroundings, client)
            is_done = True
        await asyncio.sleep(_POST_PAUSE_S)
    await asyncio.Event().wait()


async def _post_notices(settings: Settings, surroundings: Surroundings, client: Redis) -> None:
    """Tell whoever works on the same state which secrets count and which names our file has taken."""
    notices = RedisNotices(client, timeout_s=settings.redis_timeout_s)
    check, ours = await notices.read_secret_check(), _secret_checks(surroundings)
    # By the newest what is made from now on is hashed, by the oldest people and orders are.
    in_use = f"{ours[0]} {ours[-1]}"
    if check is not None and not set(check.split()) & set(ours):
        _log.warning(
            "GATEWAY_SECRETS are not those that this Redis was used with: keys, links and the hashes of people "
            "made with the old ones mean nothing now. List the old secret behind the new one to keep them"
        )
    if check != in_use:
        await notices.put_secret_check(in_use)
    declared = settings.file
    names = DeclaredNames(
        policies=frozenset(declared.policies),
        teams=frozenset(declared.teams),
        models=frozenset(declared.models),
    )
    await notices.put_declared(names)


def _secret_checks(surroundings: Surroundings) -> list[str]:
    """Return for each secret what tells it from others and tells nothing else."""
    return [keyed_hash(derive_key(secret, "check"), "image-gateway") for secret in surroundings.secrets]


def declared_directory(settings: Settings) -> Directory:
    """Return the policies and teams of the configuration file."""
    policies = {
        name: Policy(
            name=name,
            caches=entry.cache == "on",
            models=tuple(entry.models),
            **entry.model_dump(exclude={"cache", "models"}),
        )
        for name, entry in settings.file.policies.items()
    }
    teams = {
        name: Team(name=name, policy=entry.policy, user_policy=entry.user_policy, is_closed=entry.closed)
        for name, entry in settings.file.teams.items()
    }
    return Directory(policies=policies, teams=teams)


async def _open_verifier(settings: Settings, clock: Clock, stack: AsyncExitStack) -> TokenVerifier | None:
    if "jwt" not in settings.auth:
        return None
    transport = open_transport(settings.jwt.jwks, connections=2) if "://" in settings.jwt.jwks else None
    client = await stack.enter_async_context(httpx.AsyncClient(transport=transport))
    keys = JwksSource(settings.jwt.jwks, client=client, clock=clock)
    return JwtVerifier(rules=_token_rules(settings), keys=keys, clock=clock)


def _token_rules(settings: Settings) -> TokenRules:
    jwt = settings.jwt
    return TokenRules(
        issuer=jwt.issuer,
        audience=tuple(part.strip() for part in jwt.audience.split(",")),
        algorithms=tuple(part.strip() for part in jwt.algorithms.split(",")),
        user_claim=jwt.user_claim,
        team_claim=jwt.team_claim,
        policy_claim=jwt.policy_claim,
    )


async def _look_at_directory(settings: Settings, redis: Redis, callers: Callers) -> None:
    """Know all teams before the first request; without Redis, the watcher goes on trying."""
    with suppress(StateUnavailable):
        declared = [name for name, team in settings.file.teams.items() if not team.closed]
        await RedisCallers(redis, timeout_s=settings.redis_timeout_s).reopen(declared)
        await callers.look_again()


def _open_callers(
    settings: Settings,
    surroundings: Surroundings,
    redis: Redis,
    clock: Clock,
    verifier: TokenVerifier | None,
) -> Callers:
    credentials = Credentials(
        takes_keys="keys" in settings.auth,
        takes_jwt="jwt" in settings.auth,
        token_keys=tuple(derive_key(each, "token") for each in surroundings.secrets),
        person_key=derive_key(surroundings.secrets[-1], "person"),
        admin_key=settings.admin_key.get_secret_value() if settings.admin_key else None,
    )
    return Callers(
        credentials=credentials,
        book=RedisCallers(redis, timeout_s=settings.redis_timeout_s),
        verifier=verifier,
        declared=declared_directory(settings),
        default_policy=Policy(**settings.default_policy.model_dump()),
        clock=clock,
    )


def _open_backend(settings: Settings, address: BackendAddress, stack: AsyncExitStack) -> OpenAIBackend:
    transport = open_transport(address.url, connections=settings.max_calls_in_flight)
    stack.push_async_callback(transport.aclose)
    downloads = ImageDownloads(address.url, trusted=settings.trusted_hosts)
    stack.push_async_callback(downloads.aclose)
    return OpenAIBackend(
        address, transport=transport, timeouts=Timeouts(), pace=_pace(settings), downloads=downloads
    )


def _administration(
    settings: Settings, redis: Redis, callers: Callers, clock: Clock, telemetry: Telemetry
) -> Administration:
    book = RedisCallers(redis, timeout_s=settings.redis_timeout_s)
    return Administration(
        callers=callers,
        book=book,
        registrar=book,
        ledger=RedisLedger(redis, clock=clock, timeout_s=settings.redis_timeout_s),
        references=RedisReferences(redis, clock=clock, timeout_s=settings.redis_timeout_s),
        notices=RedisNotices(redis, timeout_s=settings.redis_timeout_s),
        declared=declared_directory(settings),
        models=frozenset(load_catalog(settings).models),
        clock=clock,
        telemetry=telemetry,
    )


def _usage(settings: Settings, redis: Redis, clock: Clock) -> Usage:
    return Usage(ledger=RedisLedger(redis, clock=clock, timeout_s=settings.redis_timeout_s), clock=clock)


@asynccontextmanager
async def open_administration(
    settings: Settings, surroundings: Surroundings
) -> AsyncIterator[tuple[Administration, Usage]]:
    """Open what keys, teams, policies and usage are administered with; raises as `_open_for_command`."""
    async with _open_for_command(settings, surroundings) as (redis, administration, _):
        yield administration, _usage(settings, redis, SystemClock())


@asynccontextmanager
async def open_purging(
    settings: Settings, surroundings: Surroundings
) -> AsyncIterator[tuple[Purging, Administration]]:
    """Open what `image-gateway cache` works with; raises as `_open_for_command`."""
    async with _open_for_command(settings, surroundings) as (redis, administration, telemetry):
        clock = SystemClock()
        purging = Purging(
            references=RedisReferences(redis, clock=clock, timeout_s=settings.redis_timeout_s),
            audit=RedisCallers(redis, timeout_s=settings.redis_timeout_s),
            clock=clock,
            telemetry=telemetry,
        )
        yield purging, administration


@asynccontextmanager
async def _open_for_command(
    settings: Settings, surroundings: Surroundings
) -> AsyncIterator[tuple[Redis, Administration, Telemetry]]:
    """Open what every command works with: the state and nothing else.

    Raises:
        SettingsError: the secrets are not the gateway's.
        StateUnavailable: nobody can tell.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        redis = _open_redis(settings, surroundings, stack, connections=2)
        surroundings = await _with_secrets_in_use(settings, surroundings, redis)
        callers = _open_callers(settings, surroundings, redis, clock, verifier=None)
        # Nobody scrapes a command; what it does is in the audit.
        telemetry = PrometheusMetrics(version=version("image-gateway"))
        yield redis, _administration(settings, redis, callers, clock, telemetry), telemetry


async def _with_secrets_in_use(settings: Settings, surroundings: Surroundings, client: Redis) -> Surroundings:
    """Return *surroundings* with the gateway's newest secret as ours: in the middle of a rotation we may be ahead."""
    check = await RedisNotices(client, timeout_s=settings.redis_timeout_s).read_secret_check()
    if check is None:
        return surroundings
    newest, _, oldest = check.partition(" ")
    ours = _secret_checks(surroundings)
    if newest in ours and oldest == ours[-1]:
        return replace(surroundings, secrets=surroundings.secrets[ours.index(newest) :])
    raise SettingsError(
        "GATEWAY_SECRETS are not those of the gateway that uses this Redis: its keys and people would not be "
        "recognised. Give this command the gateway's own, old ones too"
    )


def _backend_address(settings: Settings, surroundings: Surroundings) -> BackendAddress:
    if surroundings.sandbox_url is not None:
        return BackendAddress(
            name="sandbox", realm=Realm.SANDBOX, url=f"{surroundings.sandbox_url}/v1", api_key="sandbox"
        )
    return BackendAddress(
        name=settings.file.backend.name,
        realm=Realm.LIVE,
        url=settings.provider_url,
        api_key=settings.openai_api_key.get_secret_value() if settings.openai_api_key else "none",
        organization=settings.openai_org_id,
        project=settings.openai_project_id,
    )


async def _open_moderator(
    settings: Settings, address: BackendAddress, stack: AsyncExitStack
) -> Moderator | None:
    if settings.moderation == "list":
        return ListModerator(settings.file.moderation.words)
    if settings.moderation == "provider":
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=open_transport(address.url, connections=settings.max_calls_in_flight))
        )
        return ProviderModerator(address, client)
    return None


def _open_uploads(settings: Settings) -> Path:
    directory = settings.data_dir / "uploads"
    sweep(directory, _LONGEST_ORDER_S)
    return directory


def _outbox(settings: Settings) -> FileOutbox:
    return FileOutbox(settings.data_dir / "outbox")


def _store_url(settings: Settings) -> str:
    return settings.store_url or (settings.data_dir.resolve() / "files").as_uri()


def _pace(settings: Settings) -> AsyncLimiter | None:
    """Return this process's part of what the provider allows our key."""
    per_min = settings.file.backend.images_per_min
    if per_min == 0:
        return None
    return AsyncLimiter(max(1.0, per_min / (settings.replicas * settings.workers)), 60.0)


def _pool_name(settings: Settings) -> PoolName | None:
    if settings.cache == "off":
        return None

    def name(order: ImageOrder, fingerprint: str) -> str:
        is_own = "user" in (settings.cache_scope, order.caller.cache_scope)
        scope = f"user-{order.caller.user}" if is_own else "team"
        return pool_key(order.caller.team, scope, fingerprint)

    return name
