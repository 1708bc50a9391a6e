"""SQLite and PostgreSQL alike: what is published, found, raced for and migrated."""

from __future__ import annotations

import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from noderack_registry.client import Refused
from noderack_registry.schema import ModelManifest, ModelQuery
from noderack_registry.server import Settings, catalogue, schema_state, seeding
from noderack_registry.server.database import Database
from noderack_registry.server.schema_state import SchemaError
from postgres import programs, running
from sqlalchemy import create_engine, inspect, text
from wheels import wheel_bytes, write_wheel

SHA = "ab" * 32
MISSING = "PostgreSQL (initdb, postgres) or its driver psycopg is not installed"


@pytest.fixture(scope="module")
def postgres():
    if programs() is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip(MISSING)
    with running() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'x.db'}"
    url = request.getfixturevalue("postgres")
    name = "t" + str(abs(hash(str(tmp_path))))
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.replace("/postgres?", f"/{name}?")


@pytest.fixture
def stocked(make_bench, database_url, tmp_path):
    bench = make_bench(database=database_url)
    token = bench.token()
    bench.client(token).upload_wheel(write_wheel(tmp_path, "film-grain", extra="Summary: Grain for film\n"))
    bench.client(token).put_model(ModelManifest("a.safetensors", "loras", SHA, 5, title="Ann's style"))
    return bench


def test_everything_is_found(stocked):
    client = stocked.client()
    assert client.pack("film-grain").description == "Grain for film"
    found = client.resolve(["Grain"], [ModelQuery("a.safetensors")])
    assert (found.node_types["Grain"][0].pack, found.models["a.safetensors"][0].sha256) == ("film-grain", SHA)
    assert client.search("film").hits[0].name == "film-grain"
    assert client.search("flim grain", kind="pack").hits[0].name == "film-grain"
    assert client.search("FilmGrain").hits[0].name == "film-grain"
    assert client.search("style", kind="model").hits[0].sha256 == SHA
    assert [change.kind for change in client.changes()][-1] == "model-published"


@pytest.mark.parametrize("query", ["'", "a' & b", ":*", "\\", "!", "<->", "(", "é", "日本"])
def test_odd_questions(stocked, query):
    assert stocked.client().search(query).total >= 0


def test_a_race_for_one_version_has_one_winner(stocked):
    """Sixteen at once, each with bytes of its own: one is taken, the others hear why not."""
    token = stocked.token()
    headers = {"Authorization": f"Bearer {token}"}

    def upload(number: int) -> int:
        import hashlib

        data = wheel_bytes("film-grain", "2.0", readme=str(number))
        form = {":action": "file_upload", "protocol_version": "1", "filetype": "bdist_wheel"}
        form["sha256_digest"] = hashlib.sha256(data).hexdigest()
        files = {"content": ("film_grain-2.0-py3-none-any.whl", data)}
        return stocked.http.post("/legacy/", data=form, files=files, headers=headers).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(upload, range(16)))
    assert statuses == [201] + [409] * 15
    (file,) = stocked.client().version("film-grain", "2.0").files
    assert file.sha256 in stocked.leftovers()
    assert len(stocked.leftovers()) == 4  # two wheels, each with its metadata


def test_the_catalogue(stocked, tmp_path):
    url = "https://github.com/bob/all"
    packs = {"custom_nodes": [{"title": "All", "reference": url}]}
    (tmp_path / "custom-node-list.json").write_text(json.dumps(packs))
    (tmp_path / "extension-node-map.json").write_text(json.dumps({url: [["Grain", "Other"], {}]}))
    database, now = stocked.registry.database, stocked.settings.now()
    assert database.writing(seeding.store, catalogue.read(tmp_path), now).claims_added == 2
    assert database.writing(seeding.store, catalogue.read(tmp_path), now) == seeding.Seeded()
    assert [claim.pack for claim in stocked.client().node_type("Grain")] == ["film-grain", "all"]


def described(engine) -> dict[str, object]:
    """Tables with their columns, keys and indexes."""
    found = inspect(engine)
    return {
        table: (
            sorted(
                (column["name"], str(column["type"]), column["nullable"])
                for column in found.get_columns(table)
            ),
            found.get_pk_constraint(table)["constrained_columns"],
            sorted(index["name"] for index in found.get_indexes(table)),
        )
        for table in found.get_table_names()
        if not table.startswith("search_index")
    }


def test_migrations_lead_to_what_a_new_database_gets(database_url, make_bench):
    migrated = Database(Settings(Path(), database=database_url).database_url)
    with migrated.engine.begin() as connection:
        schema_state.upgrade(connection)
    new = make_bench()
    if migrated.is_sqlite:
        assert described(migrated.engine) == described(new.registry.database.engine)
    with migrated.engine.connect() as connection:
        assert schema_state.version(connection) == schema_state.HEAD
    migrated.close()


def test_an_old_database_keeps_what_it_has(database_url, make_bench, tmp_path):
    """The first schema with a pack in it, opened by today's code: the pack is there, and found."""
    old = Database(Settings(Path(), database=database_url).database_url)
    with old.engine.begin() as connection:
        schema_state.upgrade(connection, "0001")
        columns = (
            "key, ultra, name, title, description, tags, library, origin, status, status_reason, downloads, "
        )
        values = "'grain', 'grain', 'grain', 'Film', '', '[]', false, 'catalogue', 'active', '', 0, "
        statement = (
            f"INSERT INTO pack ({columns} stars, created, updated, revision) VALUES ({values} 0, '', '', 1)"
        )
        connection.execute(text(statement))
    old.close()
    bench = make_bench(database=database_url)
    assert bench.client().search("film").hits[0].name == "grain"


def test_a_newer_database_is_left_alone(make_bench, database_url):
    bench = make_bench(database=database_url)
    with bench.registry.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="9999"):
        make_bench(database=database_url)


def test_a_failed_migration_changes_nothing(tmp_path):
    """The whole way is one transaction: the schema is the old one or the new one."""
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with database.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        schema_state.upgrade(connection, "0001")
        connection.commit()
        connection.exec_driver_sql("CREATE TABLE search_gram (x)")
    with pytest.raises(Exception, match="search_gram"):
        schema_state.prepare(database)
    with database.engine.connect() as connection:
        assert schema_state.version(connection) == "0001"
        assert not inspect(connection).has_table("search_doc")
    database.close()


def test_refusals_of_the_database_are_told(stocked):
    token = stocked.token("eve")
    with pytest.raises(Refused):
        stocked.client(token).put_model(ModelManifest("b", "loras", SHA, 6))


def test_misspelt_words_and_kinds_are_found_alike(stocked):
    client = stocked.client()
    assert [hit.name for hit in client.search("flim-grain").hits][:1] == ["film-grain"]
    assert client.search("style").facets == {"model": 1}
    assert client.search("grain").facets == {"pack": 1, "node-type": 1}


def test_findings_verdicts_and_guarded_names_are_kept_alike(stocked, tmp_path):
    from noderack_registry.server import naming, verdicts
    from noderack_registry.server.verdicts import Outcome

    database, now = stocked.registry.database, stocked.settings.now()
    version = stocked.client().version("film-grain", "1.0")
    assert version.checked_by
    assert database.writing(verdicts.take_next, now) == ("film-grain", "1.0")
    assert database.writing(verdicts.take_next, now) is None
    seen = Outcome("partial", "1 of 2", types={"New": {"category": "x"}}, missing=("Grain",))
    database.writing(verdicts.store, "film-grain", "1.0", seen, now)
    version = stocked.client().version("film-grain", "1.0")
    assert version.origins == {"Grain": "declared", "New": "verified"}
    assert version.verification.missing == ("Grain",)
    assert stocked.client().node_type("New")[0].origin == "verified"
    assert database.reading(naming.allowed) == []
