"""The online store on a cluster: a hash a feature view in Redis.

One hash and not a key an entity, so that a version is put in place by one RENAME. Redis Cluster keeps a hash
on one node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Literal

import redis
from feast import RepoConfig
from feast.repo_config import FeastConfigBaseModel

from feature_repo.row_online_store import RowOnlineStore
from mulgil.online_rows import TIMES_BYTES, TIMES_START

# Rows that Redis writes, or copies, without answering anybody else: below two milliseconds of it here.
_BATCH_ROWS = 1_000
# Lua counts from 1, both ends included. A row of other fields is of no use, however new.
_WRITE = f"""
for i = 1, #ARGV, 2 do
  local new, old = ARGV[i + 1], redis.call('HGET', KEYS[1], ARGV[i])
  if not old or string.sub(old, 1, {TIMES_START}) ~= string.sub(new, 1, {TIMES_START})
     or string.sub(new, {TIMES_START + 1}, {TIMES_START + TIMES_BYTES})
        >= string.sub(old, {TIMES_START + 1}, {TIMES_START + TIMES_BYTES}) then
    redis.call('HSET', KEYS[1], ARGV[i], new)
  end
end
"""


class RedisRowOnlineStoreConfig(FeastConfigBaseModel):
    """The section `online_store` of feature_store.yaml.

    Attributes:
        type: The class.
        url: `redis://`, `rediss://` or `unix://`, as redis-py takes it; `${VARIABLE}` is filled in by Feast's
            command line.
        suffix: Behind every hash's name.
    """

    type: Literal["feature_repo.redis_online_store.RedisRowOnlineStore"]
    url: str
    suffix: str = ""


class RedisRowOnlineStore(RowOnlineStore):
    """Rows in Redis."""

    def __init__(self) -> None:
        self._client: redis.Redis | None = None

    def write_rows(self, config: RepoConfig, table: str, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Put rows by key, each unless a newer one is there."""
        script = self._connect(config).register_script(_WRITE)
        iterator = iter(rows)
        while batch := list(islice(iterator, _BATCH_ROWS)):
            script(keys=[_hash_name(config, table)], args=list(chain.from_iterable(batch)))

    def read_rows(self, config: RepoConfig, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read rows by key; `None` for one that there is not."""
        if not keys:
            return []
        rows: list[bytes | None] = self._connect(config).hmget(_hash_name(config, table), list(keys))
        return rows

    def make_table(self, config: RepoConfig, table: str) -> None:
        """Do nothing: the first row makes the hash."""

    def drop_table(self, config: RepoConfig, table: str) -> None:
        """Remove the hash."""
        self._connect(config).unlink(_hash_name(config, table))

    def _connect(self, config: RepoConfig) -> redis.Redis:
        if self._client is None:
            self._client = connect(config.online_store.url)
        return self._client


def connect(url: str) -> redis.Redis:
    """Return a client, which connects when it is used."""
    # Long enough for a batch of writes, short enough for a step that shall say what is wrong. Chosen by eye.
    return redis.Redis.from_url(url, socket_timeout=30, socket_connect_timeout=5)


def _hash_name(config: RepoConfig, table: str) -> str:
    return table + config.online_store.suffix


def stage_hash(client: redis.Redis, name: str, staged: str) -> None:
    """Copy a hash in parts, so that its readers never wait long."""
    client.unlink(staged)
    cursor: int | None = None
    while cursor != 0:
        cursor, part = client.hscan(name, cursor or 0, count=_BATCH_ROWS)
        if part:
            client.hset(staged, mapping=part)


def publish_hash(client: redis.Redis, staged: str, name: str) -> None:
    """Put a staged hash in the place of another, at once."""
    if not client.exists(staged):
        return
    replaced = f"{staged}:replaced"
    pipeline = client.pipeline(transaction=True)
    if client.exists(name):
        pipeline.rename(name, replaced)
    pipeline.rename(staged, name).unlink(replaced)
    pipeline.execute()
