# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#   http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing,
# software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY
# KIND, either express or implied.  See the License for the
# specific language governing permissions and limitations
# under the License.
"""The Workspace API and the Files API."""

from __future__ import annotations

import base64
from urllib.parse import quote, urlsplit

import pytest

from wire import HOME, Client

VOLUME = "/Volumes/main/default/data"
IMPORT = "/api/2.0/workspace-files/import-file"


def test_one_namespace(client: Client) -> None:
    """``/Workspace/X`` and ``/X`` are one place, double slashes count as one."""
    client.put_file(f"{HOME}/a/b.txt", b"content")

    short = client.get("/api/2.0/workspace/get-status", path="/Users/you@example.com//a/b.txt").json
    long = client.get("/api/2.0/workspace/get-status", path=f"{HOME}/a/b.txt", return_export_info="true").json

    assert short == long
    assert (short["object_type"], short["size"]) == ("FILE", 7)


def test_missing_things(client: Client) -> None:
    """A missing path, a missing parent and a taken name have the service's answers."""
    status = client.get("/api/2.0/workspace/get-status", path="/nope")
    assert (status.status, *status.json.values()) == (
        404,
        "RESOURCE_DOES_NOT_EXIST",
        "Path (/nope) doesn't exist.",
    )

    orphan = client.send("POST", f"{IMPORT}/{quote('Users/x/y/z.txt', safe='')}?overwrite=false", b"")
    assert (orphan.status, orphan.json["message"]) == (404, "The parent folder (/Users/x/y) does not exist.")

    client.put_file(f"{HOME}/taken.txt", b"1")
    taken = client.put_file(f"{HOME}/taken.txt", b"2", overwrite=False)
    assert (taken.status, taken.json["message"]) == (
        409,
        "File already exists at (/Users/you@example.com/taken.txt).",
    )

    blocked = client.send("POST", "/api/2.0/workspace/mkdirs", {"path": f"{HOME}/taken.txt/below"})
    assert (blocked.status, blocked.json["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")


def test_notebooks(client: Client) -> None:
    """A Python file with the notebook header becomes a notebook without its extension."""
    client.put_file(f"{HOME}/n.py", "# Databricks notebook source\nprint()")

    status = client.get("/api/2.0/workspace/get-status", path=f"{HOME}/n").json

    assert (status["object_type"], status["language"]) == ("NOTEBOOK", "PYTHON")
    again = client.put_file(f"{HOME}/n.py", "# Databricks notebook source\n", overwrite=False)
    assert (again.status, again.json["message"].endswith("already exists.")) == (400, True)


def test_import_as_form_and_as_json(client: Client) -> None:
    """The import call takes a form with a file part, or JSON with base64."""
    content = b"\x00\r\n--x\r\nbytes"
    form = b"".join(
        b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, value)
        for name, value in (
            (b"path", f"{HOME}/f.bin".encode()),
            (b"format", b"AUTO"),
            (b"overwrite", b"true"),
        )
    )
    form += b'--B\r\nContent-Disposition: form-data; name="content"; filename="f"\r\n'
    form += b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--B--\r\n"
    sent = client.send(
        "POST", "/api/2.0/workspace/import", form, Content_Type="multipart/form-data; boundary=B"
    )
    assert sent.status == 200, sent.body
    body = {"path": f"{HOME}/j.bin", "format": "AUTO", "content": base64.b64encode(content).decode()}
    assert client.send("POST", "/api/2.0/workspace/import", body).status == 200

    for name in ("f.bin", "j.bin"):
        raw = client.get("/api/2.0/workspace/export", path=f"{HOME}/{name}", direct_download="true")
        assert content == raw.body
        packed = client.get("/api/2.0/workspace/export", path=f"{HOME}/{name}").json
        assert (content, "bin") == (base64.b64decode(packed["content"]), packed["file_type"])


def test_list_and_delete(client: Client) -> None:
    """Listing shows what is below, deleting a filled directory needs ``recursive``."""
    client.put_file(f"{HOME}/d/one", b"")
    client.put_file(f"{HOME}/d/two", b"")
    found = client.get("/api/2.0/workspace/list", path=f"{HOME}/d").json["objects"]
    assert [item["path"].rpartition("/")[2] for item in found] == ["one", "two"]

    delete = "/api/2.0/workspace/delete"
    assert client.send("POST", delete, {"path": f"{HOME}/d"}).json["error_code"] == "DIRECTORY_NOT_EMPTY"
    assert client.send("POST", delete, {"path": f"{HOME}/d", "recursive": True}).status == 200
    assert client.get("/api/2.0/workspace/get-status", path=f"{HOME}/d/one").status == 404


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/Users/../../../etc/passwd", "/a/./b", "relative", "/a\x00b"]
)
def test_paths_that_climb(client: Client, path: str) -> None:
    """No path with dots, zeros or without a slash gets anywhere."""
    assert client.get("/api/2.0/workspace/get-status", path=path).status == 400
    assert client.send("POST", "/api/2.0/workspace/mkdirs", {"path": path}).status == 400
    assert client.get("/api/2.0/workspace/export", path=path).status == 400


@pytest.mark.parametrize(
    "path", ["..%2F..%2Fetc%2Fpasswd", "Users/..%2f..%2fescaped", "%2e%2e/escaped", "a%00b"]
)
def test_encoded_paths_that_climb(client: Client, path: str) -> None:
    """Encoding the climb changes nothing."""
    assert client.send("POST", f"{IMPORT}/{path}?overwrite=true", b"x").status == 400
    assert client.send("PUT", f"/api/2.0/fs/files/Volumes/{path}", b"x").status == 400
    assert client.send("GET", f"/api/2.0/fs/files/Volumes/a/b/c/{path}").status == 400


def test_volumes(client: Client) -> None:
    """Directories and files of a volume, with the Files API's answers."""
    directory, file = f"/api/2.0/fs/directories{VOLUME}/a b", f"/api/2.0/fs/files{VOLUME}/a%20b/f.bin"
    assert client.send("PUT", file, b"x").status == 404
    assert [client.send("PUT", quote(directory)).status for _ in range(2)] == [204, 204]
    assert client.send("PUT", file, b"0123456789").status == 204
    assert client.send("PUT", file, b"again").status == 409
    assert client.send("PUT", f"{file}?overwrite=true", b"0123456789").status == 204

    head = client.send("HEAD", file)
    assert (head.status, head.headers["Content-Length"]) == (200, "10")
    assert head.headers["Last-Modified"]
    part = client.send("GET", file, Range="bytes=2-4")
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert client.send("GET", file).body == b"0123456789"
    assert client.send("HEAD", f"/api/2.0/fs/directories{VOLUME}/a%20b/f.bin").status == 404
    assert client.send("PUT", f"/api/2.0/fs/directories{VOLUME}/a%20b/f.bin").status == 409

    listed = client.send("GET", quote(directory)).json["contents"]
    assert [(i["name"], i["is_directory"], i["file_size"]) for i in listed] == [("f.bin", False, 10)]
    assert client.send("DELETE", quote(directory)).status == 400
    assert client.send("DELETE", file).status == 204
    assert client.send("DELETE", quote(directory)).status == 204
    assert client.send("GET", file).status == 404


def test_pages_of_a_directory(client: Client) -> None:
    """A long listing comes in pages."""
    client.send("PUT", f"/api/2.0/fs/directories{VOLUME}")
    for name in "abcde":
        client.send("PUT", f"/api/2.0/fs/files{VOLUME}/{name}", b"")

    names, token = [], ""
    while True:
        page = client.get(f"/api/2.0/fs/directories{VOLUME}", page_size=2, page_token=token).json
        names += [item["name"] for item in page["contents"]]
        token = page.get("next_page_token", "")
        if not token:
            break

    assert names == ["a", "b", "c", "d", "e"]


def test_upload_in_parts(client: Client) -> None:
    """Parts go to URLs without authorization; the file appears when all are named."""
    client.send("PUT", f"/api/2.0/fs/directories{VOLUME}")
    target = f"/api/2.0/fs/files{VOLUME}/big.bin"
    token = client.send("POST", f"{target}?action=initiate-upload").json["multipart_upload"]["session_token"]
    body = {"path": f"{VOLUME}/big.bin", "session_token": token, "start_part_number": 1, "count": 2}
    urls = client.send("POST", "/api/2.0/fs/create-upload-part-urls", body).json["upload_part_urls"]
    tags = []
    for part, content in zip(urls, (b"first", b"second"), strict=True):
        sent = client.send("PUT", urlsplit(part["url"]).path, content, Authorization="")
        tags.append({"part_number": part["part_number"], "etag": sent.headers["ETag"]})
    complete = f"{target}?action=complete-upload&upload_type=multipart&session_token={token}"

    assert client.send("GET", target).status == 404
    assert client.send("POST", complete, {"parts": [{"part_number": 1, "etag": "wrong"}]}).status == 400
    assert client.send("POST", complete, {"parts": tags}).status == 200

    assert client.send("GET", target).body == b"firstsecond"
    assert client.send("POST", complete, {"parts": tags}).status == 404
    url = client.send("POST", f"/api/2.0/fs/create-download-url?path={VOLUME}/big.bin", {}).json["url"]
    assert client.send("GET", urlsplit(url).path, Authorization="").body == b"firstsecond"


def test_code_and_commands_on_a_volume(client: Client) -> None:
    """A run may take its command from a volume."""
    client.send("PUT", f"/api/2.0/fs/directories{VOLUME}")
    client.send("PUT", f"/api/2.0/fs/files{VOLUME}/command.sh", b"echo from a volume")
    body = client.submit_body()
    body["tasks"][0]["ai_runtime_task"]["deployments"][0]["command_path"] = f"{VOLUME}/command.sh"

    run_id = client.send("POST", "/api/2.2/jobs/runs/submit", body).json["run_id"]
    client.wait(run_id)

    assert client.logs(run_id) == ["from a volume"]
