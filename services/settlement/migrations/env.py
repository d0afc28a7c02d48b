from sqlalchemy import MetaData

from shared.storage.database import run_migrations

run_migrations(MetaData())
