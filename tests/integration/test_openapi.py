"""The OpenAPI page of a real server, and the server held to it."""

import re

import httpx
import pytest
from feature_stores import write_whole_bundle
from model_servers import Server
from openapi_pages import answer_problems, run_schemathesis
from served_bundles import ROW

PREDICT, EXPLAIN, INFER = "/v1/models/heart:predict", "/v1/models/heart:explain", "/v2/models/heart/infer"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_whole_bundle(tmp_path_factory.mktemp("openapi"))


@pytest.fixture(scope="module")
def server(bundle):
    # Nobody reads the server's log before its end, and a pipe that is full would hold it up.
    server = Server(bundle, "--log-requests=none")
    yield server
    code, output = server.end()
    assert code == 0, output
    assert "Traceback" not in output


def test_right_and_wrong_requests_are_answered_as_the_page_says(server, tmp_path):
    # The versioned paths are the same code; the long run, in tests/machine, has them too.
    flags = ("--generation-deterministic", "--max-examples=10", "--exclude-path-regex=/versions/")
    is_documented, found = run_schemathesis(server, tmp_path, *flags)

    assert is_documented, found
    assert int(re.search(r"(\d+) generated", found)[1]) > 500, found


def test_schemathesis_would_find_a_page_that_is_wrong(bundle, tmp_path):
    """A run that finds nothing shows nothing, unless it can find something."""
    server = Server(bundle, "--max-body-bytes=40")
    try:
        is_documented, found = run_schemathesis(server, tmp_path, "--phases=examples")
    finally:
        server.end()

    assert not is_documented
    assert "Schema-valid request rejected" in found


def test_every_path_that_is_read_answers_with_and_without_a_body(server):
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    read = [path for path, methods in paths.items() if "get" in methods]

    assert len(read) == len(paths) - 4
    for path in read:
        answer, head = httpx.get(server.url + path), httpx.head(server.url + path)
        (documented,) = paths[path]["get"]["responses"]["200"]["content"]
        assert (answer.status_code, head.status_code) == (200, 200), path
        assert answer.headers["content-type"].partition(";")[0] == documented
        assert head.headers["content-type"] == answer.headers["content-type"]
        assert head.content == b""


@pytest.mark.parametrize("path", [PREDICT, EXPLAIN, INFER])
def test_the_pages_own_example_is_answered(server, path):
    page = httpx.get(f"{server.url}/openapi.json").json()
    example = page["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]

    answer = httpx.post(server.url + path, json=example)

    assert answer.status_code == 200
    assert answer_problems(server, path, answer) == []


def test_refusals_are_of_the_documented_form(server):
    for body in ({"instances": [{**ROW, "age": 3}]}, {"instances": [{"patient_id": 99}]}):
        answer = httpx.post(server.url + PREDICT, json=body)
        assert answer.status_code in (400, 404)
        assert answer_problems(server, PREDICT, answer) == []


def test_the_page_for_a_reader_names_columns_and_paths_and_needs_no_network(server):
    page = httpx.get(f"{server.url}/docs")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert all(f"<code>{name}</code>" in page.text for name in ROW)
    assert f"POST {INFER}" in page.text
    assert not re.search(r"<script|<link|src=|@import|https?://", page.text)


def test_the_page_is_as_closed_as_metadata_is(bundle, tmp_path):
    (tmp_path / "tokens").write_text("secret\n")
    server = Server(bundle, f"--token-path={tmp_path / 'tokens'}")
    try:
        for path in ("/openapi.json", "/docs", "/v2/models/heart"):
            assert httpx.get(server.url + path).status_code == 401
            told = httpx.get(server.url + path, headers={"Authorization": "Bearer secret"})
            assert told.status_code == 200
        page = httpx.get(f"{server.url}/openapi.json", headers={"Authorization": "Bearer secret"}).json()
        for path, methods in page["paths"].items():
            is_open = (
                httpx.request("HEAD" if "head" in methods else "POST", server.url + path).status_code != 401
            )
            for operation in methods.values():
                assert ("security" not in operation, "401" not in operation["responses"]) == (
                    is_open,
                    is_open,
                )
    finally:
        server.end()
