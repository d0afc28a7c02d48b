"""Settings: from the environment only; secrets from the environment, or from files of their names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, FilePath, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.storage.database import database_url

_HOST = r"(\[[0-9a-fA-F:.]+\]|[^:/?#\[\]@,]*)(:\d+)?"
_SERVER_URL = re.compile(rf"postgres(ql)?://([^/?#]*@)?{_HOST}(,{_HOST})*(/[^?#]*)?(\?[^#]*)?\Z")


class Settings(BaseSettings):
    """What a deployment decides. The embedded default fills in the servers it started itself."""

    # A variable that is empty is as good as none: a manifest that passes everything on passes that too.
    model_config = SettingsConfigDict(
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
        secrets_dir=os.environ.get("TRIBUTARY_SECRETS_DIR"),
    )

    # It may hold a password, which then shows in no text of the settings.
    server_url: str = Field(default="", validation_alias="DATABASE_URL", repr=False)
    bootstrap_servers: str = Field(default="", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", validation_alias="KAFKA_SECURITY_PROTOCOL"
    )
    kafka_username: str = Field(default="", validation_alias="KAFKA_SASL_USERNAME")
    kafka_password: SecretStr = Field(default=SecretStr(""), validation_alias="KAFKA_SASL_PASSWORD")
    kafka_ca_file: FilePath | None = Field(default=None, validation_alias="KAFKA_SSL_CA_FILE")
    home: Path = Field(default=Path(".tributary"), validation_alias="TRIBUTARY_HOME")
    host: str = Field(default="127.0.0.1", validation_alias="TRIBUTARY_HOST")
    port: int = Field(default=8000, ge=0, le=65535, validation_alias="TRIBUTARY_PORT")
    issuer: str = Field(default="tributary", validation_alias="TRIBUTARY_ISSUER")
    audience: str = Field(default="tributary", validation_alias="TRIBUTARY_AUDIENCE")
    # How the bank calls itself towards others: in the register's export, to other banks.
    institution: str = Field(default="bank", max_length=200, validation_alias="TRIBUTARY_INSTITUTION")
    # Blind checks with other banks: the key that these banks share, and a secret of this bank's own.
    crosscheck_key: SecretStr = Field(default=SecretStr(""), validation_alias="TRIBUTARY_CROSSCHECK_KEY")
    crosscheck_secret: SecretStr = Field(default=SecretStr(""), validation_alias="TRIBUTARY_CROSSCHECK_SECRET")
    hold_seconds: int = Field(default=600, ge=1, validation_alias="TRIBUTARY_HOLD_SECONDS")
    # Ten years, as long as a bank keeps its books; 0 keeps every event in the outbox for ever.
    outbox_retention_days: int = Field(default=3650, ge=0, validation_alias="TRIBUTARY_OUTBOX_RETENTION_DAYS")
    rail_timeout_seconds: float = Field(default=2.0, gt=0, validation_alias="TRIBUTARY_RAIL_TIMEOUT_SECONDS")

    @field_validator("server_url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        """Refuse what the driver would misread, and repeat nothing of it: it may be the password."""
        if url and not _SERVER_URL.match(url):
            message = "not postgresql://user:password@host:port/database; / ? # @ : in a password are written as %2F …"
            raise ValueError(message)
        for file in parse_qs(urlsplit(url).query).get("sslrootcert", []):
            if not Path(file).is_file():
                message = f"its sslrootcert {file} is no file"
                raise ValueError(message)
        return url

    def database(self, service: str) -> str:
        """Return the URL of a service's own database."""
        return database_url(server_url=self.server_url, service=service)

    @property
    def registry(self) -> Path:
        """Return the folder of the file-based movables registry."""
        return self.home / "registry"
