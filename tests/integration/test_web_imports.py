"""Files through the API: who sees them, sending one, what was refused and why, the original, reading again, undoing."""

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleet.file_limits import FILE_BYTES_MAX, UPLOAD_FORM_BYTES_MAX, UPLOADS_AT_ONCE_PER_PERSON
from tests.import_rows import add_file, add_refusal, add_serial
from tests.web_app import ALPHA, ALPHA_METER, BETA, BETA_METER, Web, listen
from web import import_changes
from web import uploads as web_uploads

HOSTILE = "../../etc/=cmd|'/C calc'!A0 <script>\u202egnp.csv"
KEEPERS = ("ines@example.org", "otto@example.org", "ada@example.org")
OTHERS = ("alice@example.org", "bob@example.org", "emma@example.org")


def uploads(web: Web) -> list[Path]:
    folder = web.services.settings.intake_folder
    assert folder is not None
    return sorted((folder / "uploads").iterdir()) if (folder / "uploads").exists() else []


async def send(web: Web, email: str, content: bytes, site: str = ALPHA, **query: str) -> Any:
    headers = await web.token(email)
    return await web.client.post(f"/api/v1/sites/{site}/imports", params=query, content=content, headers=headers)


async def test_a_file_that_is_sent_lies_on_the_disk_and_waits_for_the_importer(web: Web) -> None:
    content, email = b"time;power\n" + b"x" * 3_000_000, "ines@example.org"
    answer = await send(web, email, content, name="Relevé.csv")
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/api/v1/imports/{made['id']}"
    assert (made["state"], made["progress"]["stage"], made["name"]) == ("received", "waiting", "Relevé.csv")
    (file,) = uploads(web)
    assert (file.name, file.read_bytes()) == (made["id"], content)
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o600, 0o700]
    (row,) = await web.execute("SELECT * FROM imports.file")
    assert (row["via"], row["person_id"], row["size_bytes"]) == ("upload", email.partition("@")[0], len(content))
    assert row["sha256"] == sha256(content).digest()
    (entry,) = await web.execute("SELECT * FROM audit.entry WHERE action = 'import.upload'")
    assert (entry["subject"], entry["detail"]["size_bytes"]) == (made["id"], len(content))
    for keeper in KEEPERS:
        assert (await send(web, keeper, b"x")).status_code == 202


async def test_a_plain_form_sends_one_too(web: Web) -> None:
    headers = await web.token("ines@example.org")
    path = f"/api/v1/sites/{ALPHA}/imports"
    answer = await web.client.post(path, files={"file": ("day.csv", b"a;b\n1;2\n")}, headers=headers)
    assert answer.status_code == 202, answer.text
    assert uploads(web)[0].read_bytes() == b"a;b\n1;2\n"
    two = [("file", ("a.csv", b"1")), ("file", ("b.csv", b"2"))]
    for files in (two, {"other": (None, "text")}):
        answer = await web.client.post(path, files=files, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "no_file")
    large = {"content-length": str(UPLOAD_FORM_BYTES_MAX + 1), "content-type": "multipart/form-data; boundary=x"}
    answer = await web.client.post(path, content=b"--x--", headers=headers | large)
    assert answer.status_code == 413
    assert len(uploads(web)) == 1


async def test_files_are_the_keepers_business(web: Web) -> None:
    await add_file(web, "one", content=b"x")
    for email in OTHERS:
        headers = await web.token(email)
        for path in ("/imports", "/imports/one", "/imports/one/refusals", "/imports/one/original"):
            assert (await web.client.get(f"/api/v1{path}", headers=headers)).status_code == 404, path
        for path in ("/imports/one/read-again", "/imports/one/undo"):
            assert (await web.client.post(f"/api/v1{path}", json={}, headers=headers)).status_code == 404, path
        assert (await send(web, email, b"x")).status_code == 404
    assert uploads(web) == []


async def test_an_installer_sees_the_files_of_the_sites_that_the_company_keeps(web: Web) -> None:
    await add_file(web, "ours")
    await add_file(web, "theirs", site_id=BETA)
    headers = await web.token("ines@example.org")
    listed = (await web.client.get("/api/v1/imports", headers=headers)).json()["items"]
    assert [each["id"] for each in listed] == ["ours"]
    for path in ("/imports/theirs", "/imports/theirs/original", f"/imports?site={BETA}", "/imports/none", "/imports/%00"):
        assert (await web.client.get(f"/api/v1{path}", headers=headers)).status_code == 404, path
    assert (await web.client.post("/api/v1/imports/theirs/undo", headers=headers)).status_code == 404
    assert (await send(web, "ines@example.org", b"x", site=BETA)).status_code == 404
    operations = await web.token("otto@example.org")
    listed = (await web.client.get("/api/v1/imports", headers=operations)).json()["items"]
    assert [each["id"] for each in listed] == ["theirs", "ours"]


async def test_a_site_that_is_shared_with_an_installer_keeps_its_files_to_itself(web: Web) -> None:
    await add_file(web, "theirs", site_id=BETA)
    await web.execute("INSERT INTO registry.site_share (site_id, person_id) VALUES ($1, 'ines')", BETA)
    headers = await web.token("ines@example.org")
    assert (await web.client.get(f"/api/v1/sites/{BETA}", headers=headers)).status_code == 200
    assert (await web.client.get(f"/api/v1/imports?site={BETA}", headers=headers)).json()["items"] == []
    assert (await web.client.get("/api/v1/imports/theirs", headers=headers)).status_code == 404
    assert (await send(web, "ines@example.org", b"x", site=BETA)).status_code == 403


async def test_lists_are_narrowed_and_paged(web: Web) -> None:
    for index in range(7):
        await add_file(web, f"f{index}", device_id=ALPHA_METER if index == 3 else None)
    await add_file(web, "bad", state="quarantined", problem_code="unknown_format")
    await add_file(web, "busy", state="reading", bytes_read=250)
    await add_file(web, "waits", state="partly", rows_waiting=5)
    headers = await web.token("otto@example.org")

    async def ids(query: str) -> list[str]:
        return [each["id"] for each in (await web.client.get(f"/api/v1/imports?{query}", headers=headers)).json()["items"]]

    assert await ids("state=quarantined") == ["bad"]
    assert await ids("state=active") == ["busy"]
    assert await ids("state=waiting") == ["waits"]
    assert await ids(f"device={ALPHA_METER}") == ["f3"]
    found: list[str] = []
    cursor = ""
    for _ in range(10):
        page = (await web.client.get(f"/api/v1/imports?limit=3{cursor}&site={ALPHA}", headers=headers)).json()
        found += [each["id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == ["waits", "busy", "bad", *(f"f{index}" for index in range(6, -1, -1))]
    assert (await web.client.get("/api/v1/imports?cursor=nonsense", headers=headers)).status_code == 422
    assert (await web.client.get("/api/v1/imports?state=lost", headers=headers)).status_code in (400, 422)


async def test_a_file_tells_what_was_read_and_what_was_refused(web: Web) -> None:
    number = await add_file(
        web, "one", state="partly", rows_read=100, rows_new=90, rows_same=6, rows_waiting=4, lines_refused=60, format_id="x"
    )
    for position in range(60):
        await add_refusal(
            web, number, position, position + 2, "time_does_not_exist", "2024-03-31 02:30", zone="Europe/Paris"
        )
    await add_serial(web, number, "INV-1", ["pv_power_w"])
    await add_serial(web, number, "A1", ["grid_power_w"], device=ALPHA_METER)
    headers = await web.token("ines@example.org")
    shown = (await web.client.get("/api/v1/imports/one", headers=headers | {"Accept-Language": "fr"})).json()
    assert shown["file"]["rows"] == {"read": 100, "new": 90, "same": 6, "corrected": 0, "waiting": 4, "late": 0}
    assert [(each["serial"], each["waiting"], each["device_name"]) for each in shown["serials"]] == [
        ("INV-1", True, None),
        ("A1", False, "Compteur"),
    ]
    first = shown["refusals"][0]
    assert (first["line"], first["cell"], first["text"]) == (2, 2, "2024-03-31 02:30")
    assert "n'existe pas en Europe/Paris" in first["detail"]
    path = f"/api/v1/imports/one/refusals?cursor={shown['next_refusals']}"
    rest = (await web.client.get(path, headers=headers)).json()
    assert [each["line"] for each in rest["items"]] == list(range(52, 62))
    assert rest["next_cursor"] is None


async def test_refused_lines_as_a_table_run_nothing(web: Web) -> None:
    number = await add_file(web, "one", state="partly", lines_refused=2)
    await add_refusal(web, number, 0, 2, "bad_number", "=cmd|' /C calc'!A0")
    await add_refusal(web, number, 1, 3, "a_code_of_tomorrow", "3;=1+1")
    headers = await web.token("ines@example.org")
    answer = await web.client.get("/api/v1/imports/one/refusals?format=csv", headers=headers)
    assert answer.headers["content-type"].startswith("text/csv")
    lines = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert lines[1][4] == "'=cmd|' /C calc'!A0"
    assert lines[2][2:] == ["a_code_of_tomorrow", "a_code_of_tomorrow", "3;'=1+1"]


async def test_the_original_comes_back_as_it_was_and_is_never_a_page(web: Web) -> None:
    content = b"<html><script>alert(1)</script>" + bytes(range(256)) * 5_000
    await add_file(web, "one", content=content, name=HOSTILE)
    headers = await web.token("ines@example.org")
    answer = await web.client.get("/api/v1/imports/one/original", headers=headers)
    assert answer.content == content
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; filename=")
    assert not set("<>\r\n\u202e/\\") & set(disposition)
    await web.execute("UPDATE imports.file SET original_gone_at = now()")
    assert (await web.client.get("/api/v1/imports/one/original", headers=headers)).status_code == 410
    made = (await send(web, "ines@example.org", b"just sent")).json()  # not taken by the importer yet
    assert (await web.client.get(f"/api/v1/imports/{made['id']}/original", headers=headers)).content == b"just sent"


async def test_names_are_made_fit_to_be_shown(web: Web) -> None:
    names = [
        (await send(web, "ines@example.org", b"x", name=name)).json()["name"]
        for name in (HOSTILE, "C:\\logs\\day.csv", "", "..", "a" * 500 + ".csv", "tab\tand\x1bescape.csv")
    ]
    assert names[1:4] == ["day.csv", "file", "file"]
    assert names[0].endswith("A0 <script>gnp.csv")
    assert (len(names[4]), names[4][-4:]) == (200, ".csv")
    assert names[5] == "tabandescape.csv"
    assert all(each.parent.name == "uploads" for each in uploads(web))


async def test_an_upload_that_may_not_be_leaves_nothing(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await send(web, "ines@example.org", b"")).json()["code"] == "empty_upload"
    headers = await web.token("ines@example.org")
    path = f"/api/v1/sites/{ALPHA}/imports"
    answer = await web.client.post(path, content=b"x", headers=headers | {"content-length": str(FILE_BYTES_MAX + 1)})
    assert answer.status_code == 413
    monkeypatch.setattr(web_uploads, "UPLOAD_FREE_BYTES_MIN", 2**62)
    answer = await send(web, "ines@example.org", b"x")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_space")
    assert uploads(web) == []
    monkeypatch.undo()
    monkeypatch.setattr(web_uploads, "UPLOAD_IDLE_S", 0.05)

    async def stalls() -> AsyncIterator[bytes]:
        yield b"the beginning"
        await asyncio.Event().wait()

    async def drips() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    for content in (stalls(), drips()):
        answer = await web.client.post(path, content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "upload_cut")
    assert uploads(web) == []
    monkeypatch.undo()

    async def fills_the_disk() -> AsyncIterator[bytes]:
        """Without saying before how much it is."""
        yield b"x" * 2_000_000
        monkeypatch.setattr(web_uploads, "UPLOAD_FREE_BYTES_MIN", 2**62)
        yield b"x" * 2_000_000

    answer = await web.client.post(path, content=fills_the_disk(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "no_space")
    assert uploads(web) == []
    assert await web.execute("SELECT 1 FROM imports.file") == []


async def test_forms_are_uploads_as_others_are(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = await web.token("ines@example.org")
    path, file = f"/api/v1/sites/{ALPHA}/imports", {"file": ("day.csv", b"a;b\n1;2\n")}
    with ExitStack() as busy:
        for _ in range(UPLOADS_AT_ONCE_PER_PERSON):
            busy.enter_context(web.services.uploads.slot("ines", 0, time.monotonic()))
        answer = await web.client.post(path, files=file, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_uploads")
    monkeypatch.setattr(import_changes, "UPLOAD_FORM_S", 0.2)

    async def stalls() -> AsyncIterator[bytes]:
        yield b"--x\r\n"
        await asyncio.Event().wait()

    form = {"content-type": "multipart/form-data; boundary=x", "content-length": "1000"}
    answer = await web.client.post(path, content=stalls(), headers=headers | form)
    assert (answer.status_code, answer.json()["code"]) == (422, "upload_cut")
    assert uploads(web) == []


async def test_whose_file_it_is_can_be_said(web: Web) -> None:
    await web.execute(
        "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ('gw-roof', $1, 'logger', 'Roof')", ALPHA
    )
    await web.execute(
        "INSERT INTO imports.account (device_id, site_id, settings) VALUES ('gw-roof', $1, $2)",
        ALPHA,
        {"timezone": "+01:00"},
    )
    of_logger = (await send(web, "ines@example.org", b"x", device="gw-roof")).json()
    assert (of_logger["device"], of_logger["settings"]) == ("gw-roof", {"timezone": "+01:00"})
    of_meter = (await send(web, "ines@example.org", b"x", device=ALPHA_METER)).json()
    assert (of_meter["device"], of_meter["settings"]) == (None, {"serial": ALPHA_METER})
    for device in (BETA_METER, "nobody", "\0"):
        assert (await send(web, "ines@example.org", b"x", device=device)).status_code == 404


async def test_reading_again_takes_settings_that_can_be(web: Web) -> None:
    await add_file(web, "one", content=b"x", settings={"date_order": "dmy"})
    headers = await web.token("ines@example.org")
    path = "/api/v1/imports/one/read-again"
    for settings, code in (({"timezone": "Mars/Olympus"}, "bad_zone"), ({"format_id": "nobodys"}, "no_such_format")):
        answer = await web.client.post(path, json={"settings": settings}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await web.client.post(path, json={"settings": {"colour": "red"}}, headers=headers)).status_code in (400, 422)
    answer = await web.client.post(path, json={"settings": {"timezone": "+01:00", "stamp": "end"}}, headers=headers)
    assert answer.status_code == 202, answer.text
    (row,) = await web.execute("SELECT state, settings FROM imports.file")
    assert (row["state"], row["settings"]) == ("received", {"timezone": "+01:00", "stamp": "end"})
    assert (await web.client.post(path, json={}, headers=headers)).status_code == 202  # nothing has begun yet
    await web.execute("UPDATE imports.file SET state = 'reading'")
    assert (await web.client.post(path, json={}, headers=headers)).json()["code"] == "import_busy"
    await web.execute("UPDATE imports.file SET state = 'imported', original_gone_at = now()")
    assert (await web.client.post(path, json={}, headers=headers)).json()["code"] == "original_gone"
    assert len(await web.execute("SELECT 1 FROM audit.entry WHERE action = 'import.read_again'")) == 2


async def test_an_import_is_undone_when_there_is_something_to_undo(web: Web) -> None:
    await add_file(web, "one", state="quarantined")
    await add_file(web, "two", stored_with={})
    headers = await web.token("otto@example.org")
    answer = await web.client.post("/api/v1/imports/one/undo", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_imported")
    answer = await web.client.post("/api/v1/imports/two/undo", headers=headers)
    assert (answer.status_code, answer.json()["state"], answer.json()["can_undo"]) == (202, "undoing", False)
    assert (await web.client.post("/api/v1/imports/two/undo", headers=headers)).json()["code"] == "import_busy"


async def test_progress_and_new_files_are_told_as_they_come(web: Web) -> None:
    await add_file(web, "one", state="reading", bytes_read=250)
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    headers = await web.token("ines@example.org")
    task = asyncio.create_task(listen(web, "/api/v1/imports/one/events", headers, events))
    try:
        async with asyncio.timeout(60):
            assert (await events.get())["progress"] == {"stage": "reading", "share": 0.25, "left_s": None}
            await web.execute("UPDATE imports.file SET state = 'storing', blocks = 4, blocks_done = 3")
            await web.execute("SELECT pg_notify('sp_file', 'one')")
            assert (await events.get())["progress"]["share"] == 0.75
            await web.execute("UPDATE imports.file SET state = 'imported', rows_new = 7")
            await web.execute("SELECT pg_notify('sp_file', 'one')")
            done = await events.get()
            assert (done["state"], done["progress"], done["rows"]["new"]) == ("imported", None, 7)
    finally:
        task.cancel()
    events = asyncio.Queue()
    await web.execute("DELETE FROM imports.file")
    task = asyncio.create_task(listen(web, "/api/v1/imports/events", headers, events))
    try:
        async with asyncio.timeout(60):
            assert (await events.get())["items"] == []
            await add_file(web, "theirs", site_id=BETA)
            await send(web, "ines@example.org", b"x", name="day.csv")
            assert [each["name"] for each in (await events.get())["items"]] == ["day.csv"]
    finally:
        task.cancel()
    web.services.settings = msgspec.structs.replace(web.services.settings, intake_folder=None)
    answer = await send(web, "ines@example.org", b"x")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_intake")
