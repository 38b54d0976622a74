"""Explain the configuration in effect: in tables and plain words, or as JSON. It shows no secret."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import typer

from service.commands.console import explain
from service.commands.table import show_table
from service.domain.backends import KeyName
from service.settings.backends import BackendConfig
from service.settings.variables import Settings
from service.wiring.effective import KeyPlan, ModelPlan
from service.wiring.key_checks import KeyChecked


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The configuration of *backends*, none with the sandbox; *checks* has the answers to keys that were asked."""

    settings: Settings
    backends: Sequence[BackendConfig]
    keys: Sequence[KeyPlan]
    models: Sequence[ModelPlan]
    checks: Mapping[KeyName, KeyChecked]
    warnings: Sequence[str]
    today: date

    def show(self) -> None:
        """Print tables to standard output, and warnings to standard error."""
        for warning in self.warnings:
            explain(f"warning: {warning}")
        typer.echo(self._summary())
        replicas = self.settings.replicas
        if self.backends:
            typer.echo("\nBackends")
            show_table(
                ("backend", "kind", "address", "declared"),
                [(each.name, each.kind, each.url, "; ".join(_declared(each))) for each in self.backends],
            )
            typer.echo(
                "\nKeys: a call goes to the first turn that has room, and keys of one turn share its calls."
                f"{f' Numbers are for each of {replicas} gateways.' if replicas > 1 else ''}"
            )
            show_table(
                ("key", "turn", "share", "images a minute", "calls at once", "from", "answer"),
                [self._row_of(key) for key in self.keys],
            )
        typer.echo(f"\nModels that can be ordered on {self.today}")
        show_table(("model", "operations", "made by", "bridge"), [_row_of(model) for model in self.models])

    def document(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "sandbox": not self.backends,
            "today": self.today,
            "gateways": self.settings.replicas,
            "backends": [_document_of(backend) for backend in self.backends],
            "keys": [self._document_of_key(key) for key in self.keys],
            "models": [
                {
                    "model": plan.model,
                    "operations": plan.operations,
                    "made_by": plan.own,
                    "bridge": {"to": plan.bridge_to, "by": plan.bridged_by} if plan.bridge_to else None,
                    "then": plan.heir or None,
                }
                for plan in self.models
            ],
            "warnings": self.warnings,
        }

    def _summary(self) -> str:
        if not self.backends:
            unused = (
                " Backends and OPENAI_* variables are not used."
                if self.settings.file.backends or self.settings.openai_api_key
                else ""
            )
            return f"The settings are correct. The sandbox paints free test images.{unused}"
        place = (
            f"[[backends]] of {self.settings.config}" if self.settings.file.backends else "OPENAI_* variables"
        )
        broken = [str(checked.name) for checked in self.checks.values() if checked.advice]
        verb = "does" if len(broken) == 1 else "do"
        but = f", but {_count(len(broken), 'key')} {verb} not work: {', '.join(broken)}" if broken else ""
        return (
            f"The settings are correct{but}. Images are made by {_count(len(self.backends), 'backend')} with "
            f"{_count(len(self.keys), 'key')}, from {place}."
        )

    def _row_of(self, key: KeyPlan) -> tuple[object, ...]:
        checked = self.checks.get(key.name)
        return (
            key.name,
            key.turn,
            f"{key.share:.0%}",
            "no pace" if key.images_per_min is None else f"{key.images_per_min:g}",
            key.calls_in_flight,
            self._source_of(key.name),
            checked.answer if checked else "not asked",
        )

    def _document_of_key(self, key: KeyPlan) -> dict[str, Any]:
        checked = self.checks.get(key.name)
        return {
            "backend": key.name.backend,
            "key": key.name.key,
            "turn": key.turn,
            "share": key.share,
            "images_per_min": key.images_per_min,
            "calls_in_flight": key.calls_in_flight,
            "from": self._source_of(key.name),
            "answer": checked.answer if checked else None,
            "advice": checked.advice if checked else None,
        }

    def _source_of(self, name: KeyName) -> str:
        """Return the place of a key's secret."""
        (key,) = [
            key
            for backend in self.backends
            if backend.name == name.backend
            for key in backend.keys
            if key.name == name.key
        ]
        if key.key_file is not None:
            return str(key.key_file.path)
        if not key.secret.get_secret_value():
            return "no key"
        return str(self.settings.config) if self.settings.file.backends else "OPENAI_API_KEY"


def _row_of(plan: ModelPlan) -> tuple[object, ...]:
    made_by = []
    for making in plan.own:
        name = f" as {making.name}" if making.name != plan.model else ""
        made_by.append(f"{making.backend}{name}{f' until {making.shutdown}' if making.shutdown else ''}")
    bridge = []
    if plan.bridge_to:
        when = " where these cannot" if plan.own else ""
        bridge.append(f"{plan.bridge_to} by {', '.join(plan.bridged_by)}{when}")
    if plan.heir:
        bridge.append(f"then {plan.heir}")
    return plan.model, ", ".join(plan.operations), ", ".join(made_by) or "bridge", "; ".join(bridge)


def _declared(backend: BackendConfig) -> Iterator[str]:
    """Yield what the entry of *backend* declares of it, in words."""
    listed = {
        "API": (backend.api, backend.api_version) if backend.kind == "azure" else (),
        "operations:": backend.operations,
        "makes only": (backend.makes,),
        "not sent:": backend.omit,
        "calls as": (backend.organization, backend.project),
        "headers:": backend.headers,
        "through": (backend.proxy and _host_of(backend.proxy.get_secret_value()),),
        "trusts": (backend.ca_file,),
        "longest calls:": [
            f"{name} {limit_s:g} s"
            for name, limit_s in backend.timeouts_s.model_dump(exclude_unset=True).items()
        ],
    }
    for word, values in listed.items():
        if text := ", ".join(str(value) for value in values if value):
            yield f"{word} {text}"
    flags = {
        "one image a call": not backend.makes_several,
        "edits the white of masks": backend.masks == "white",
        "errors of any form": backend.errors == "any",
        "answers for itself": backend.answers_for_itself,
    }
    yield from (word for word, is_set in flags.items() if is_set)


def _document_of(backend: BackendConfig) -> dict[str, Any]:
    """Return *backend* for JSON: what its entry has, without keys and secrets."""
    return {
        **backend.model_dump(mode="json", exclude={"keys", "models", "headers", "proxy"}),
        "operations": sorted(backend.served_operations),
        "headers": sorted(backend.headers),
        "proxy": _host_of(backend.proxy.get_secret_value()) if backend.proxy else None,
    }


def _host_of(proxy: str) -> str:
    """Return the host and port of a URL that may have credentials."""
    return urlsplit(proxy).netloc.rpartition("@")[2]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
