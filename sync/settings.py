"""The environment, read once into Settings. Everything that is missing, unknown or wrong is reported in one go."""

from __future__ import annotations

import base64
import difflib
import os
from collections.abc import Mapping

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sync.errors import BadSettings
from sync.policy import MatchingPolicy

PREFIX = "ACCORD_"
# Of the command line, which shares its environment with `make run` and the local host.
OF_OTHERS = ("ACCORD_URL",)
AZURITE = "UseDevelopmentStorage=true"
ENDPOINTS = ("blobendpoint", "queueendpoint", "tableendpoint")


class Settings(BaseSettings):
    """App settings. The names are those of the Azure portal and of local.settings.json."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", case_sensitive=True, populate_by_name=False)

    storage: SecretStr = Field(default=SecretStr(""), alias="AzureWebJobsStorage")
    storage_account: str = Field(default="", alias="AzureWebJobsStorage__accountName", pattern=r"^([a-z0-9]{3,24})?$")
    storage_client_id: str = Field(default="", alias="AzureWebJobsStorage__clientId")
    tick: str = Field(alias="SYNC_TICK", min_length=9)
    tenant_id: str = Field(alias="ACCORD_TENANT_ID", pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    client_id: str = Field(alias="ACCORD_CLIENT_ID", pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    client_secret: SecretStr = Field(alias="ACCORD_CLIENT_SECRET", min_length=8)
    api_key: SecretStr = Field(alias="ACCORD_API_KEY", min_length=16)
    digest_key: SecretStr = Field(alias="ACCORD_DIGEST_KEY")
    internal_domains: str = Field(default="", alias="ACCORD_INTERNAL_DOMAINS")
    backfill_months: int = Field(default=6, ge=0, le=240, alias="ACCORD_BACKFILL_MONTHS")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` hands over: the whole environment is checked there, unknown names included."""
        return (init_settings,)

    @field_validator("digest_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        try:
            size = len(base64.b64decode(value.get_secret_value(), validate=True))
        except ValueError:
            raise ValueError("is not base64") from None
        if not 16 <= size <= 64:
            raise ValueError("holds 16 to 64 bytes in base64")
        return value

    @field_validator("storage")
    @classmethod
    def _connects(cls, value: SecretStr) -> SecretStr:
        problem = _connection_problem(value.get_secret_value())
        if problem:
            raise ValueError(f"is no connection string of a storage account: {problem}")
        return value

    @field_validator("internal_domains")
    @classmethod
    def _plain_domains(cls, value: str) -> str:
        listed = _listed(value)
        try:
            MatchingPolicy(internal_domains=listed)
        except ValidationError as refused:
            at = refused.errors(include_input=False)[0]["loc"][1:]
            if not at:
                raise ValueError("names too many domains: 500 are the most") from None
            wrong = listed[int(at[0])][:80]
            raise ValueError(
                f"names what is no domain: {wrong!r} is not a domain: write acme.com, not @acme.com"
            ) from None
        return value

    @model_validator(mode="after")
    def _some_storage(self) -> Settings:
        if not self.storage.get_secret_value() and not self.storage_account:
            raise ValueError("AzureWebJobsStorage or AzureWebJobsStorage__accountName must be set")
        return self

    def digest_secret(self) -> bytes:
        """The digest key as bytes."""
        return base64.b64decode(self.digest_key.get_secret_value())

    def domains(self) -> tuple[str, ...]:
        """Internal domains as a list: commas or spaces between them."""
        return _listed(self.internal_domains)


NAMES = tuple(str(field.alias) for field in Settings.model_fields.values())


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment; raises BadSettings with a sentence for each problem.

    An unknown name is only seen behind our own prefix: the environment is full of others' names.
    """
    given = os.environ if environment is None else environment
    problems = [
        _unknown(name) for name in sorted(given) if name.startswith(PREFIX) and name not in (*NAMES, *OF_OTHERS)
    ]
    values = {name: given[name] for name in NAMES if given.get(name, "") != ""}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as refused:
        problems += [_problem(one["loc"], one["type"], one["msg"]) for one in refused.errors(include_input=False)]
    if problems:
        raise BadSettings(problems)
    return settings


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _connection_problem(text: str) -> str:
    """What keeps a connection string from being understood, as the storage libraries would; never part of the string.

    https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string
    """
    if text in ("", AZURITE):
        return ""
    pairs = [part.partition("=") for part in text.removesuffix(";").split(";")]
    parts = {name.lower(): value for name, _, value in pairs}
    if len(parts) < len(pairs) or not all(name.isalpha() and value.strip() for name, value in parts.items()):
        return "it is made of Name=value, each once, with semicolons between"
    if any(not parts[name].startswith(("https://", "http://")) for name in ENDPOINTS if name in parts):
        return "its endpoints are addresses that begin with https://"
    if "accountkey" in parts:
        named = "accountname" in parts
    else:
        named = "sharedaccesssignature" in parts and ("accountname" in parts or all(one in parts for one in ENDPOINTS))
    return "" if named else "it needs AccountName with AccountKey, or a SharedAccessSignature with all endpoints"


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, NAMES, n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ".")


def _problem(place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(place[0]) if place else ""
    if kind == "missing":
        return f"{name} is missing."
    return f"{name} {message.removeprefix('Value error, ')}.".strip()
