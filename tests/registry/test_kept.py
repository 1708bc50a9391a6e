"""Answers that are kept are never old, whoever wrote meanwhile, and are the asker's own."""

from __future__ import annotations

import pytest
from noderack_registry.server import open_registry
from noderack_registry.server.kept import Answer, Kept, matches
from sqlalchemy import event
from wheels import write_wheel

PAGE = "/api/v1/packs/grain"


@pytest.fixture
def stocked(bench, tmp_path):
    bench.client(bench.token()).upload_wheel(write_wheel(tmp_path))
    return bench


@pytest.fixture
def queries(stocked):
    """The statements sent to the database, as they come."""
    sent: list[str] = []
    event.listen(
        stocked.registry.database.engine, "before_cursor_execute", lambda *call: sent.append(call[2])
    )
    return sent


def test_the_second_asker_costs_no_query(stocked, queries):
    first = stocked.http.get(PAGE)
    assert queries
    queries.clear()
    again = stocked.http.get(PAGE)
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert queries == []


def test_who_has_it_gets_304(stocked):
    etag = stocked.http.get(PAGE).headers["etag"]
    for has in (etag, f'"x", W/{etag}', "*"):
        answer = stocked.http.get(PAGE, headers={"If-None-Match": has})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert stocked.http.get(PAGE, headers={"If-None-Match": '"x"'}).status_code == 200


def test_what_is_written_is_seen_at_once(stocked, tmp_path):
    assert stocked.http.get(PAGE).json()["latest"] == "1.0"
    stocked.client(stocked.token()).upload_wheel(write_wheel(tmp_path, version="1.1"))
    assert stocked.http.get(PAGE).json()["latest"] == "1.1"


def test_what_another_process_writes_is_seen_at_once(stocked):
    stars = lambda: stocked.http.get(PAGE).json()["stars"]
    assert stars() == 0
    other = open_registry(stocked.settings)
    other.database.writing(lambda session: session.connection().exec_driver_sql("UPDATE pack SET stars = 7"))
    assert stars() == 7
    other.database.close()


def test_form_and_address_are_part_of_the_question(stocked):
    html = stocked.http.get("/simple/grain/", headers={"Accept": "text/html"})
    data = stocked.http.get("/simple/grain/", headers={"Accept": "application/json"})
    assert (html.headers["content-type"], data.headers["content-type"]) != (data.headers["content-type"],) * 2
    shown = stocked.http.get(f"{PAGE}/versions/1.0", headers={"Host": "other:81"}).json()
    assert shown["files"][0]["url"].startswith("http://other:81/")
    again = stocked.http.get(f"{PAGE}/versions/1.0").json()
    assert again["files"][0]["url"].startswith("http://testserver/")


def test_what_is_for_one_asker_is_not_kept(stocked):
    for headers, status in ((stocked.admin(), 200), ({}, 401)):
        answer = stocked.http.get("/api/v1/audit", headers=headers)
        assert (answer.status_code, "etag" in answer.headers) == (status, False)


@pytest.mark.parametrize("path", [PAGE, "/simple/grain/", "/healthz", "/api/v1/packs/nope"])
def test_head_is_get_without_the_body(stocked, path):
    for _ in range(2):
        head, get = stocked.http.head(path), stocked.http.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == str(len(get.content))


def test_head_of_a_file_reads_and_counts_nothing(stocked):
    url = stocked.client().version("grain", "1.0").files[0].url.removeprefix("http://testserver")
    head = stocked.http.head(url)
    assert (head.status_code, int(head.headers["content-length"])) == (
        200,
        len(stocked.http.get(url).content),
    )
    assert stocked.registry.downloads.flush() == 1


def test_room_is_made_for_the_new():
    kept = Kept(most=5_000)
    for number in range(20):
        kept.put((number,), Answer(1, (), b"x" * 1000, None))
    assert [number for number in range(20) if kept.get((number,), 1)] == [18, 19]
    assert kept.get((19,), 2) is None


@pytest.mark.parametrize(
    ("header", "fits"), [("", False), ('"a"', True), ('W/"a"', True), ('"b" , "a"', True), ('"aa"', False)]
)
def test_etags_are_compared(header, fits):
    assert matches(header, '"a"') is fits
