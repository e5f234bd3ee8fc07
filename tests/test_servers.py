"""The servers that other tests lean on take writes, keep them, and go when they are told to."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
import urllib3
from cassandra import Unauthorized
from cassandra.cluster import NoHostAvailable
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from redis import ConnectionError
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, MovedError, NoPermissionError
from redis.retry import Retry

from tests.servers.cassandra import CassandraNode
from tests.servers.influx1 import InfluxOne
from tests.servers.influx2 import InfluxTwo
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_ports, listens
from tests.servers.redis import RedisNodes, RedisServer
from tests.servers.server import Server

KEEP = pytest.mark.parametrize("end", [Server.stop, Server.kill], ids=["stop", "kill -9"])
End = Callable[[Server], None]

# A server lives as long as the tests do, and others have users, keys and tables there too.
READER = "reader of the guarded things"


def goes_and_returns(server: Server, end: End) -> None:
    """Ends a server, finds it gone, and starts it again at the same port."""
    port = server.port
    assert listens(port)
    end(server)
    assert not server.runs
    assert not listens(port)
    server.start()
    assert server.port == port
    assert listens(port)


@KEEP
def test_influx1_keeps_its_points_and_its_users(influx1: InfluxOne, end: End) -> None:
    database = f"kept by {end.__name__}"
    influx1.create_database(database)
    influx1.write(database, "w,sensor=a value=1.5,n=3i 1600000000000000001")
    goes_and_returns(influx1, end)
    (series,) = influx1.query("SELECT * FROM w", database)
    assert series["columns"] == ["time", "n", "sensor", "value"]
    assert series["values"] == [[1600000000000000001, 3, "a", 1.5]]


def test_influx1_asks_for_a_password(influx1: InfluxOne) -> None:
    influx1.create_database("guarded")
    influx1.create_user(READER, "only reads", guarded="READ")
    url = f"{influx1.url}/write?db=guarded"
    for user, status in {None: 401, f"{READER}:wrong": 401, f"{READER}:only reads": 403}.items():
        headers = urllib3.make_headers(basic_auth=user)
        assert urllib3.request("POST", url, body="w v=1", headers=headers).status == status


@KEEP
def test_influx2_keeps_its_points_and_its_tokens(influx2: InfluxTwo, end: End) -> None:
    measurement = f"kept by {end.__name__}"
    escaped = measurement.replace(" ", "\\ ")
    influx2.write(f"{escaped},sensor=a value=1.5,n=3i 1600000000000000000")
    goes_and_returns(influx2, end)
    (row,) = influx2.rows(measurement=measurement)
    assert row.pop("_time").isoformat() == "2020-09-13T12:26:40+00:00"
    assert row == {"_measurement": measurement, "sensor": "a", "value": 1.5, "n": 3}


def test_influx2_refuses_what_a_token_may_not(influx2: InfluxTwo) -> None:
    influx2.create_bucket("guarded", retention_seconds=3600)
    for token, status in {"wrong": 401, influx2.read_token("guarded"): 403}.items():
        with influx2.client(token) as client, pytest.raises(ApiException) as refused:
            client.write_api(SYNCHRONOUS).write("guarded", record="w v=1")
        assert refused.value.status == status


@KEEP
def test_redis_keeps_its_series_and_its_users(redis: RedisServer, end: End) -> None:
    key = f"kept by {end.__name__}"
    redis.create_user("plant", "only its own", "~plant:*", "+@all")
    with redis.client() as client:
        client.ts().create(key, labels={"sensor": "a"}, duplicate_policy="last")
        assert client.ts().madd([(key, 1, 1.5), (key, 2, 2.5), (key, 2, 3.5)]) == [1, 2, 2]
    goes_and_returns(redis, end)
    with redis.client() as client:
        assert client.ts().range(key, "-", "+") == [(1, 1.5), (2, 3.5)]
        assert client.ts().info(key).labels == {"sensor": "a"}
    with redis.client(username="plant", password="only its own") as client:
        assert client.ts().add(f"plant:{key}", 1, 1.0) == 1
        with pytest.raises(NoPermissionError):
            client.ts().add("other", 1, 1.0)


def test_redis_over_tls_asks_for_a_certificate_it_knows_and_a_password(
    redis_tls: RedisServer,
) -> None:
    with redis_tls.client() as client:
        assert client.ts().add("a", 1, 1.5) == 1
    once = Retry(NoBackoff(), retries=0)
    for password in (None, "wrong"):
        refused = pytest.raises(AuthenticationError)
        with redis_tls.client(password=password, retry=once) as client, refused:
            client.ping()
    for unfit in ({"ssl_ca_certs": None}, {"ssl": False, "ssl_ca_certs": None}):
        with redis_tls.client(**unfit, retry=once) as client, pytest.raises(ConnectionError):
            client.ping()


def test_redis_nodes_share_the_keys(redis_cluster: RedisNodes) -> None:
    keys = [f"node sensor {number}" for number in range(30)]
    with redis_cluster.client() as client:
        for key in keys:
            client.ts().add(key, 1, 1.5)
        assert [client.ts().get(key) for key in keys] == [(1, 1.5)] * len(keys)
    held = []
    for node in redis_cluster.nodes:
        with node.client() as client:
            held.append(set(client.keys("node sensor *")))
            with pytest.raises(MovedError):
                [client.ts().get(key) for key in keys]
    assert all(held)
    assert sum(map(len, held)) == len(keys)
    assert set.union(*held) == set(keys)


@KEEP
def test_cassandra_keeps_its_rows(cassandra: CassandraNode, end: End) -> None:
    cassandra.create_keyspace("plant")
    table = f"plant.kept_by_{end.__name__}"
    columns = "sensor text, time timestamp, v double, PRIMARY KEY (sensor, time)"
    with cassandra.session() as session:
        session.execute(f"CREATE TABLE {table} ({columns})")
        insert = session.prepare(f"INSERT INTO {table} (sensor, time, v) VALUES (?, ?, ?)")
        for value in (1.5, 2.5):
            session.execute(insert, ("a", 1_600_000_000_000, value))
    goes_and_returns(cassandra, end)
    with cassandra.session() as session:
        rows = list(session.execute(f"SELECT sensor, v FROM {table}"))
    assert [tuple(row) for row in rows] == [("a", 2.5)]


def test_cassandra_guarded_asks_for_a_password_and_checks_rights(
    cassandra_guarded: CassandraNode,
) -> None:
    cassandra_guarded.create_keyspace("guarded")
    with cassandra_guarded.session() as session:
        session.execute("CREATE TABLE guarded.w (k text PRIMARY KEY)")
    cassandra_guarded.create_user(READER, "only reads", "SELECT ON KEYSPACE guarded")
    with cassandra_guarded.session(READER, "only reads") as session:
        assert list(session.execute("SELECT * FROM guarded.w")) == []
        with pytest.raises(Unauthorized):
            session.execute("INSERT INTO guarded.w (k) VALUES ('a')")
    with pytest.raises(NoHostAvailable, match="AuthenticationFailed"):
        cassandra_guarded.session(READER, "wrong").__enter__()


@KEEP
def test_postgres_keeps_its_rows(postgres: PostgresServer, end: End) -> None:
    table = f"kept_by_{end.__name__}"
    upsert = f"INSERT INTO {table} VALUES ('a', %s) ON CONFLICT (sensor) DO UPDATE SET v = %s"
    held = postgres.connect()
    held.execute(f"CREATE TABLE {table} (sensor text PRIMARY KEY, v double precision)")
    for value in (1.5, 2.5):
        held.execute(upsert, (value, value))
    log = postgres.folder / "server.log"
    told = log.read_text().count(recovers := "database system was not properly shut down")
    # A client that stays keeps no server from ending in order.
    goes_and_returns(postgres, end)
    assert log.read_text().count(recovers) - told == (end is Server.kill)
    with pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
    with postgres.connect() as connection:
        assert connection.execute(f"SELECT * FROM {table}").fetchall() == [("a", 2.5)]


def test_postgres_asks_for_a_password_and_checks_rights(postgres: PostgresServer) -> None:
    with postgres.connect() as connection:
        connection.execute("CREATE TABLE guarded (k text)")
    postgres.create_user(READER, "only reads", "SELECT ON guarded")
    with postgres.connect(user=READER, password="only reads") as connection:
        assert connection.execute("SELECT * FROM guarded").fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO guarded VALUES ('a')")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        postgres.connect(user=READER, password="wrong")


def test_ports_stay_below_those_that_clients_are_given() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32_768
