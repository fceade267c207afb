"""Formats of a company: guessed, tried, saved and used; each company's own; and the page on which that is done by hand."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fleet.file_limits import PREVIEWS_PER_MIN
from fleet.storage import company_formats
from tests.format_forms import EXPORT, begun, sent
from tests.import_rows import add_file
from tests.portal import Portal, Seen, log_in, read
from tests.servers import Database
from tests.web_app import BETA, Web, seed

INES, OTTO = "ines@example.org", "otto@example.org"
UNKNOWN: dict[str, Any] = {"state": "quarantined", "problem_code": "unknown_format"}


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> AsyncIterator[Web]:
    await seed(database.owner)
    async with Portal(database, tmp_path) as web:
        await add_file(web, "new", name="<script>x.csv", content=EXPORT.encode(), **UNKNOWN)
        await add_file(web, "other", content=EXPORT.encode(), **UNKNOWN)
        await add_file(web, "theirs", site_id=BETA, content=EXPORT.encode(), **UNKNOWN)
        yield web


async def call(web: Web, email: str, method: str, path: str, **body: object) -> Any:
    return await web.client.request(method, f"/api/v1{path}", json=body or None, headers=await web.token(email))


async def states(web: Web) -> dict[str, tuple[str, str | None]]:
    rows = await web.execute("SELECT id, state, settings ->> 'format_id' AS format FROM imports.file")
    return {row["id"]: (row["state"], row["format"]) for row in rows}


async def test_an_unknown_file_becomes_a_format_of_the_company(portal: Web) -> None:
    guessed = (await call(portal, INES, "POST", "/formats/guess", file="new")).json()
    assert (guessed["heading"], guessed["lines"][2][:10]) == (3, "Date;Heure")
    definition = guessed["definition"]
    tried = await call(portal, INES, "POST", "/formats/preview", file="new", definition=definition)
    assert tried.status_code == 200, tried.text
    assert (tried.json()["rows"], tried.json()["refused"], tried.json()["faults"]) == (48, 0, [])
    assert tried.json()["curves"][0]["values"][4] == 1_000.0
    assert (await states(portal))["new"] == ("quarantined", None)  # nothing was stored

    made = await call(portal, INES, "POST", "/formats", name="Portail Solaris", definition=definition, file="new")
    assert made.status_code == 201, made.text
    found = await states(portal)
    assert found["new"] == ("received", made.json()["id"])
    assert found["other"][0] == "received"  # it waited for a format as well
    assert found["theirs"][0] == "quarantined"  # of a site that another company keeps
    assert made.json()["organisation"] == "installer"
    (entry,) = await portal.execute("SELECT * FROM audit.entry WHERE action = 'format.make'")
    assert entry["person_id"] == "ines"


async def test_nobody_keeps_the_previews_to_himself(portal: Web) -> None:
    asked = {"file": "theirs", "definition": {"time": {"at": [1]}, "columns": []}}
    answers = [await call(portal, INES, "POST", "/formats/preview", **asked) for _ in range(PREVIEWS_PER_MIN + 1)]
    codes = [answer.json()["code"] for answer in answers]
    assert (codes[0], codes[-1]) == ("unknown_import", "too_many_requests")
    assert (await call(portal, OTTO, "POST", "/formats/guess", file="new")).status_code == 200


async def test_a_companys_formats_have_a_bound(portal: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    definition = (await call(portal, INES, "POST", "/formats/guess", file="new")).json()["definition"]
    made = (await call(portal, INES, "POST", "/formats", name="First", definition=definition)).json()
    monkeypatch.setattr(company_formats, "COMPANY_FORMATS_BYTES_MAX", 1_500)
    large = definition | {"missing": ["x" * 200] * 10}
    for answer in (
        await call(portal, INES, "POST", "/formats", name="Second", definition=large),
        await call(portal, INES, "PATCH", f"/formats/{made['id']}", version=1, definition=large),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "too_many_formats")
    listed = (await call(portal, INES, "GET", "/formats")).json()["items"]
    assert [(each["name"], each["version"]) for each in listed] == [("First", 1)]


async def test_a_format_changes_by_version_and_goes(portal: Web) -> None:
    definition = (await call(portal, INES, "POST", "/formats/guess", file="new")).json()["definition"]
    made = (await call(portal, INES, "POST", "/formats", name="A", definition=definition)).json()
    path = f"/formats/{made['id']}"
    changed = await call(portal, INES, "PATCH", path, version=1, name="B")
    assert (changed.json()["version"], changed.json()["name"], changed.json()["definition"]) == (2, "B", made["definition"])
    stale = await call(portal, OTTO, "PATCH", path, version=1, name="C")
    assert (stale.status_code, stale.json()["code"]) == (409, "format_changed")
    assert (await call(portal, INES, "DELETE", path)).status_code == 204
    assert (await call(portal, INES, "GET", "/formats")).json()["items"] == []
    for wrong in ("/formats/none", "/formats/%00", path):
        assert (await call(portal, INES, "PATCH", wrong, version=1)).status_code == 404


async def test_what_reads_nothing_is_not_saved(portal: Web) -> None:
    for definition in (
        {"time": {"at": ["Date"]}, "columns": []},
        {"time": {"at": ["Date"]}, "columns": [{"at": "P", "measure": "apparent_power_va", "unit": "W"}]},
        {"time": {"at": ["Date"], "zone": "Mars"}, "columns": [{"at": "P", "measure": "pv_power_w"}]},
    ):
        answer = await call(portal, INES, "POST", "/formats", name="A", definition=definition)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_format"), answer.text
        tried = (await call(portal, INES, "POST", "/formats/preview", file="new", definition=definition)).json()
        assert tried["faults"]
        assert tried["rows"] == 0
    assert (await call(portal, INES, "POST", "/formats", name="", definition={})).status_code in (400, 422)


async def test_companies_keep_their_formats_to_themselves(portal: Web) -> None:
    definition = (await call(portal, OTTO, "POST", "/formats/guess", file="theirs")).json()["definition"]
    ours = (await call(portal, INES, "POST", "/formats", name="ours", definition=definition)).json()
    platforms = (await call(portal, OTTO, "POST", "/formats", name="all", definition=definition, file="theirs")).json()
    assert platforms["organisation"] == "platform"
    await portal.execute("INSERT INTO accounts.organisation (id, name, kind) VALUES ('second', 'Second', 'installer')")
    await portal.execute(
        "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)"
        " SELECT 'ian', 'second', 'ian@example.org', 'Ian', 'installer', password_hash FROM accounts.person"
        " WHERE id = 'ines'"
    )
    assert [each["name"] for each in (await call(portal, INES, "GET", "/formats")).json()["items"]] == ["ours"]
    assert [each["name"] for each in (await call(portal, OTTO, "GET", "/formats")).json()["items"]] == ["all", "ours"]
    assert (await call(portal, "ian@example.org", "GET", "/formats")).json()["items"] == []
    for method, path, body in (
        ("PATCH", f"/formats/{ours['id']}", {"version": 1}), ("DELETE", f"/formats/{ours['id']}", {}),
        ("POST", "/formats/guess", {"file": "new"}), ("POST", "/formats/preview", {"file": "new", "definition": definition}),
        ("POST", "/formats", {"name": "x", "definition": definition, "file": "new"}),
        ("POST", "/imports/new/read-again", {"settings": {"format_id": ours["id"]}}),
    ):  # fmt: skip
        assert (await call(portal, "ian@example.org", method, path, **body)).status_code == 404, path
    for email in ("alice@example.org", "emma@example.org"):
        for method, path in (
            ("GET", "/formats"),
            ("POST", "/formats/guess"),
            ("POST", "/formats/preview"),
            ("POST", "/formats"),
        ):
            answer = await call(portal, email, method, path, file="new", name="x", definition=definition)
            assert answer.status_code == 404, (email, path)
    await add_file(portal, "at-alpha", content=b"x")
    answer = await call(portal, INES, "POST", "/imports/at-alpha/read-again", settings={"format_id": platforms["id"]})
    assert answer.json()["code"] == "no_such_format"


async def test_the_page_shows_a_guess_that_is_corrected_and_saved(portal: Web) -> None:
    await log_in(portal, INES)
    html = (await read(portal, "/imports/new/format")).text
    assert 'data-testid="preview" data-rows="48" data-refused="0"' in html
    assert 'data-kind="readings"' in html
    assert "<script>x" not in html
    assert Seen(html).inline == []
    form = sent(begun()) | {"name": ""}
    html = (await portal.client.post("/imports/new/format", data=form | {"measure-3": "apparent_power_va"})).text
    assert 'data-testid="fault" data-code="wrong_unit"' in html
    assert (await states(portal))["new"] == ("quarantined", None)
    for wrong, code in (({"name": ""}, "format_name_needed"), ({"name": "A", "date_at": "0", "time_at": "0"}, "bad_format")):
        answer = await portal.client.post("/imports/new/format", data=form | wrong | {"do": "save"})
        assert (answer.status_code, f'data-code="{code}"' in answer.text) == (422, True)
    answer = await portal.client.post("/imports/new/format", data=form | {"name": "Portail <b>", "do": "save"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/imports/new")
    (row,) = await portal.execute("SELECT id, name, definition FROM imports.company_format")
    assert (row["name"], row["definition"].get("delimiter", ";")) == ("Portail <b>", ";")

    await portal.execute("UPDATE imports.file SET format_id = $1, state = 'imported' WHERE id = 'new'", row["id"])
    listed = (await read(portal, "/formats")).text
    assert "<b>" not in listed
    assert f'href="/imports/new/format?format={row["id"]}"' in listed
    opened = (await read(portal, f"/imports/new/format?format={row['id']}")).text
    assert 'value="Portail &lt;b&gt;"' in opened
    answer = await portal.client.post(
        "/imports/new/format", data=form | {"name": "Portail 2", "do": "save", "format_id": row["id"], "version": "1"}
    )
    assert answer.status_code == 303
    answer = await portal.client.post(
        "/imports/new/format", data=form | {"name": "Portail 3", "do": "save", "format_id": row["id"], "version": "1"}
    )
    assert (answer.status_code, 'data-code="format_changed"' in answer.text) == (409, True)
    assert (await portal.client.post(f"/formats/{row['id']}/remove")).status_code == 303
    assert 'data-testid="no-formats"' in (await read(portal, "/formats")).text


async def test_a_file_that_is_no_table_says_so(portal: Web) -> None:
    await add_file(portal, "binary", content=bytes(range(256)) * 20, **UNKNOWN)
    await add_file(portal, "gone", **UNKNOWN)
    await log_in(portal, INES)
    for file, status, code in (
        ("binary", 422, "not_describable"),
        ("gone", 410, "original_gone"),
        ("theirs", 404, ""),
        ("none", 404, ""),
    ):
        answer = await read(portal, f"/imports/{file}/format")
        assert answer.status_code == status, file
        assert f'data-code="{code}"' in answer.text or status == 404
    for odd in ({"base": "{", "heading": "-1"}, {"delimiter": "\x1b"}, {"date_at": "9" * 30}, {"measure-60": "x" * 999}):
        assert (await portal.client.post("/imports/new/format", data=odd)).status_code == 200


async def test_a_site_without_a_keeping_company_gets_formats_of_the_platform(portal: Web) -> None:
    definition = (await call(portal, OTTO, "POST", "/formats/guess", file="theirs")).json()["definition"]
    await call(portal, OTTO, "POST", "/formats", name="all", definition=definition, file="theirs")
    found = await states(portal)
    assert {found[name][0] for name in ("new", "other", "theirs")} == {"received"}
    assert found["theirs"][1] is not None
