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
"""Snapshots of working trees and of commits, made by real git in real directories."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.run.code.snapshot import Snapshot, commit_key, take_snapshot
from airflow.providers.databricks_air.run.config.run_config import CodeSource
from airflow.providers.databricks_air.run.errors import ConfigError, SnapshotError

DEAD = "a3492b801c0ffee00000000000000000000dead"


def git(root: Path, *arguments: str, check: bool = True) -> str:
    """Run git in *root* as a fixed author, without the settings of this machine."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_DATE": "2024-05-01T12:00:00Z",
        "GIT_COMMITTER_DATE": "2024-05-01T12:00:00Z",
    }
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=check
    )
    return done.stdout.strip()


def commit_all(root: Path) -> None:
    """Commit everything that is not ignored."""
    git(root, "add", ".")
    git(root, "commit", "-qm", "all")


def write(root: Path, **files: str) -> None:
    """Write files; ``__`` in a name stands for ``/``, a final ``_py`` for ``.py``."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def code_source(root: Path, include: list[str] | None = None, **ref: str) -> CodeSource:
    """Return the configuration that packs *root*."""
    fields: dict[str, Any] = {"root_path": str(root)}
    if include:
        fields["include_paths"] = include
    if ref:
        fields["git"] = ref
    return CodeSource(**fields)


def snapshot(root: Path, *, include: list[str] | None = None, **ref: str) -> Snapshot:
    """Take a snapshot of *root*; ``commit`` or ``branch`` pins it."""
    return take_snapshot(code_source(root, include, **ref), root.parent)


def tar_of(taken: Snapshot) -> bytes:
    """Return the uncompressed archive."""
    sink = io.BytesIO()
    taken.write_tar(sink)
    return sink.getvalue()


def members(taken: Snapshot) -> dict[str, tarfile.TarInfo]:
    """Return what is in the compressed archive, by name."""
    file = io.BytesIO()
    taken.write_archive(file)
    with tarfile.open(fileobj=io.BytesIO(file.getvalue()), mode="r:gz", errors="surrogateescape") as archive:
        return {member.name: member for member in archive.getmembers()}


def names(taken: Snapshot) -> list[str]:
    """Return the paths of the packed files below the top directory."""
    return sorted(name.partition("/")[2] for name in members(taken) if "/" in name)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory called ``proj``."""
    path = tmp_path / "proj"
    path.mkdir()
    return path


@pytest.fixture
def repo(root: Path) -> Path:
    """A repository with one commit on ``main``: three files and an ignore file."""
    git(root, "init", "-q")
    write(root, train_py="print(1)\n", src__model_py="x = 1\n", research__a_py="a = 1\n")
    (root / ".gitignore").write_text("*.log\ndata/\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


class TestCommitKeys:
    """The keys of pinned commits are those of the ``databricks air`` command."""

    @pytest.mark.parametrize(
        ("commit", "include", "key"),
        [
            (DEAD, [], "8d7bc445ac83dfe432a353718ae8b1ae40eb00c860352662e6df96b7fdf862a5"),
            ("0" * 40, [], "a07e0fa4d38f3c2d08c3ff6bbff0158cea01796aaaf5368b0d0e247cebd27c80"),
            (DEAD, ["research"], "97bd562ad591af23b9a05651d88c01abbbcc24632e9a8f2534230a61492b9e0a"),
            (DEAD, ["a", "b", "c"], "17d021577e3615e9a603a2f701f918d74ad16218efc4b2950ee20f6a18b1a174"),
            (DEAD, ["c", " a ", "b"], "17d021577e3615e9a603a2f701f918d74ad16218efc4b2950ee20f6a18b1a174"),
            ("a3492b8", [], "16be4d7d83ecd01b8d3d274dafb07b3bccc72cf7f7299578e634cd01e1825345"),
        ],
    )
    def test_published_vectors(self, commit: str, include: list[str], key: str) -> None:
        """A known commit has its known key, whatever the order of the include paths."""
        assert commit_key(commit, include) == key

    def test_repeated_paths_count(self) -> None:
        """An include path that is written twice makes another key."""
        assert commit_key(DEAD, ["a", "a"]) != commit_key(DEAD, ["a"])

    def test_subtree_is_appended(self) -> None:
        """The path of the packed directory below the repository's root is a further line."""
        text = f"{DEAD}\n\nv1\nml/vision"
        assert commit_key(DEAD, [], "ml/vision") == hashlib.sha256(text.encode()).hexdigest()

    def test_pinned_commit_is_named_by_its_key(self, repo: Path) -> None:
        """The archive of a pinned commit bears the directory's name and the key of the commit."""
        commit = git(repo, "rev-parse", "HEAD")
        assert snapshot(repo, commit=commit).file_name == f"proj_{commit_key(commit)[:16]}.tar.gz"

    def test_short_commit_keeps_its_own_key(self, repo: Path) -> None:
        """A short id is hashed as it is written."""
        short = git(repo, "rev-parse", "HEAD")[:8]
        assert snapshot(repo, commit=short).key == commit_key(short)

    def test_moving_name_is_not_hashed(self, repo: Path) -> None:
        """A name such as HEAD, which may move, has the key of the commit that it names now."""
        assert snapshot(repo, commit="HEAD").key == commit_key(git(repo, "rev-parse", "HEAD"))


class TestPinned:
    """A pinned commit or branch is packed as git has it."""

    def test_commit_ignores_local_changes(self, repo: Path) -> None:
        """Local changes and new files do not get into the archive of a commit."""
        commit = git(repo, "rev-parse", "HEAD")
        before = tar_of(snapshot(repo, commit=commit))
        write(repo, train_py="print(2)\n", new_py="n")
        assert tar_of(snapshot(repo, commit=commit)) == before
        assert names(snapshot(repo, commit=commit)) == [
            ".gitignore", "research", "research/a.py", "src", "src/model.py", "train.py"
        ]  # fmt: skip

    def test_branch_is_the_local_head(self, repo: Path) -> None:
        """A clean branch gives the commit that it points to."""
        assert snapshot(repo, branch="main").key == commit_key(git(repo, "rev-parse", "main"))

    def test_fetched_branch(self, repo: Path, tmp_path: Path) -> None:
        """A branch of a remote is packed as it was fetched, whatever the working tree has."""
        git(tmp_path, "clone", "-q", str(repo), "copy")
        write(tmp_path / "copy", train_py="print(2)\n")
        taken = snapshot(tmp_path / "copy", branch="origin/main")
        assert taken.key == commit_key(git(repo, "rev-parse", "main"))

    def test_dirty_branch_is_refused(self, repo: Path) -> None:
        """A branch whose working tree has changes is refused, with the files and the way out."""
        write(repo, train_py="print(2)\n")
        with pytest.raises(SnapshotError, match=r"train\.py.*pin code_source\.git\.commit"):
            snapshot(repo, branch="main")

    def test_changes_outside_the_limits_do_not_matter(self, repo: Path) -> None:
        """With include paths, only changes below them make the branch dirty."""
        write(repo, train_py="print(2)\n")
        assert names(snapshot(repo, branch="main", include=["src"])) == ["src", "src/model.py"]

    def test_subtree(self, repo: Path) -> None:
        """A directory below the repository's root is packed alone, under its own name."""
        commit = git(repo, "rev-parse", "HEAD")
        taken = snapshot(repo / "src", commit=commit)
        assert (taken.dirname, names(taken)) == ("src", ["model.py"])
        assert taken.key == commit_key(commit, [], "src")

    def test_subtree_with_include(self, repo: Path) -> None:
        """Include paths are relative to the packed directory."""
        write(repo, ml__keep_py="k", ml__drop_py="d")
        commit_all(repo)
        assert names(snapshot(repo / "ml", commit="HEAD", include=["keep.py"])) == ["keep.py"]

    def test_subtree_is_the_same_on_another_day(self, repo: Path) -> None:
        """Git dates the archive of a subtree with the current time; ours has no dates."""
        first = tar_of(snapshot(repo / "src", commit="HEAD"))
        assert {member.mtime for member in members(snapshot(repo / "src", commit="HEAD")).values()} == {
            315619200
        }
        assert tar_of(snapshot(repo / "src", commit="HEAD")) == first

    def test_missing_include_paths_are_named(self, repo: Path) -> None:
        """Include paths that the commit does not have are all named."""
        with pytest.raises(SnapshotError, match=r"include_paths.*nope, other/x"):
            snapshot(repo, commit="HEAD", include=["src", "nope", "other/x"])

    @pytest.mark.parametrize("commit", ["f" * 40, "nosuch", "HEAD:train.py", "HEAD^{tree}"])
    def test_what_is_not_a_commit_is_refused(self, repo: Path, commit: str) -> None:
        """Anything that is not a commit here, is refused by name."""
        with pytest.raises(SnapshotError, match=r"code_source\.git\.commit"):
            snapshot(repo, commit=commit)

    @pytest.mark.parametrize("branch", ["--upload-pack", "-v", "nosuch"])
    def test_branch_like_an_option(self, repo: Path, branch: str) -> None:
        """A branch that does not exist is refused by name, also when it looks like an option."""
        with pytest.raises(SnapshotError, match=f"no local branch '{branch}'"):
            snapshot(repo, branch=branch)

    def test_branch_called_like_an_option(self, repo: Path) -> None:
        """A branch that really is called like an option is packed."""
        git(repo, "update-ref", "refs/heads/--output", "HEAD")
        assert snapshot(repo, branch="--output").key == commit_key(git(repo, "rev-parse", "HEAD"))

    def test_no_repository(self, root: Path) -> None:
        """A pin on a directory that is no repository is an error that says so."""
        write(root, a_py="1")
        with pytest.raises(SnapshotError, match="in no git work tree"):
            snapshot(root, commit="HEAD")

    def test_export_ignore_is_honoured(self, repo: Path) -> None:
        """The attributes that ``git archive`` knows keep their meaning."""
        (repo / ".gitattributes").write_text("research export-ignore\n")
        commit_all(repo)
        assert "research/a.py" not in names(snapshot(repo, commit="HEAD"))

    def test_corrupt_object_is_an_error(self, repo: Path) -> None:
        """An archive that git cannot finish is an error, never a short archive."""
        blob = git(repo, "rev-parse", "HEAD:train.py")
        (repo / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
        with pytest.raises(SnapshotError, match="git archive failed"):
            tar_of(snapshot(repo, commit="HEAD"))


class TestWorkingTree:
    """Without a pin, the files are packed as they are on the disk."""

    def test_tracked_changed_and_new(self, repo: Path) -> None:
        """Tracked files as they are and new ones that are not ignored are packed; deleted ones are not."""
        write(repo, train_py="print(2)\n", new_py="n", out__run_log="x", data__big="b")
        (repo / "x.log").write_text("log")
        (repo / "research" / "a.py").unlink()
        assert names(snapshot(repo)) == [".gitignore", "new.py", "out/run_log", "src/model.py", "train.py"]

    def test_tracked_although_ignored(self, repo: Path) -> None:
        """A tracked file is packed even if an ignore rule matches it."""
        (repo / "kept.log").write_text("kept")
        git(repo, "add", "-f", "kept.log")
        assert "kept.log" in names(snapshot(repo))

    def test_ignore_rules_without_a_repository(self, root: Path) -> None:
        """Nested ignore files, negation and ``**`` work in a directory that is no repository."""
        write(
            root,
            a_py="1",
            deep__er__tmp_py="1",
            deep__keep_py="1",
            logs__x="1",
            **{"b.log": "1", "c.log": "1"},
        )
        (root / ".gitignore").write_text("*.log\n!c.log\n**/er/\n")
        (root / "deep" / ".gitignore").write_text("*.tmp\n")
        (root / "deep" / "x.tmp").write_text("1")
        assert names(snapshot(root)) == [
            ".gitignore",
            "a.py",
            "c.log",
            "deep/.gitignore",
            "deep/keep.py",
            "logs/x",
        ]
        assert not (root / ".git").exists()

    def test_ignore_rules_of_the_parent(self, repo: Path) -> None:
        """Ignore files above the packed directory count, as they do for git."""
        (repo / "src" / "x.log").write_text("log")
        assert names(snapshot(repo / "src")) == ["model.py"]

    def test_include_paths(self, repo: Path) -> None:
        """Include paths limit the archive; they are paths, not patterns."""
        write(repo, **{"src__*": "star"})
        assert names(snapshot(repo, include=["src/*", "train.py"])) == ["src/*", "train.py"]

    def test_missing_include_path_is_named(self, repo: Path) -> None:
        """An include path that does not exist is an error, since a run without its code costs money."""
        with pytest.raises(SnapshotError, match=r"include_paths: nope not found"):
            snapshot(repo, include=["src", "nope"])

    def test_links_stay_links(self, repo: Path, tmp_path: Path) -> None:
        """Links are stored as they are (inside, outside, broken, in a loop); their targets are not packed."""
        outside = tmp_path / "secret"
        outside.mkdir()
        (outside / "key").write_text("secret")
        (repo / "out").symlink_to(outside)
        (repo / "loop").symlink_to("loop")
        (repo / "in").symlink_to("src/model.py")
        found = members(snapshot(repo))
        assert {name: found[f"proj/{name}"].linkname for name in ("out", "loop", "in")} == {
            "out": str(outside), "loop": "loop", "in": "src/model.py"
        }  # fmt: skip
        assert not [name for name in found if "key" in name]

    def test_directory_replaced_by_a_link(self, repo: Path, tmp_path: Path) -> None:
        """A tracked file that is now reached only through a link out of the tree is not packed."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "model.py").write_text("stolen")
        (repo / "src" / "model.py").unlink()
        (repo / "src").rmdir()
        (repo / "src").symlink_to(outside)
        found = members(snapshot(repo))
        assert found["proj/src"].issym()
        assert "proj/src/model.py" not in found

    def test_git_and_appledouble_are_left_out(self, repo: Path) -> None:
        """Neither git's own files nor the shadows that macOS leaves are packed."""
        write(repo, **{"._train.py": "x", "src__._model.py": "x"})
        assert not [name for name in names(snapshot(repo)) if "._" in name or name.startswith(".git/")]

    def test_repositories_inside(self, repo: Path) -> None:
        """The files of a repository inside the tree, submodule or not, are packed by its own ignore rules."""
        inner = repo / "vendor"
        inner.mkdir()
        git(inner, "init", "-q")
        write(inner, lib_py="l", **{"x.tmp": "t"})
        (inner / ".gitignore").write_text("*.tmp\n")
        assert {"vendor/lib.py", "vendor/.gitignore"} <= set(names(snapshot(repo)))
        assert "vendor/x.tmp" not in names(snapshot(repo))
        commit_all(inner)
        git(repo, "add", "vendor")
        assert "vendor/lib.py" in names(snapshot(repo))

    def test_directory_that_the_repository_around_it_ignores(self, repo: Path) -> None:
        """A code directory inside an ignored one is packed by its own rules, rather than empty."""
        write(repo, data__proj__train_py="1", data__proj__x_tmp="t")
        (repo / "data" / "proj" / ".gitignore").write_text("x_tmp\n")
        assert names(snapshot(repo / "data" / "proj")) == [".gitignore", "train.py"]

    def test_empty_directory(self, root: Path) -> None:
        """A directory without anything to pack is refused: the run would start without code."""
        with pytest.raises(SnapshotError, match=r"root_path: .*proj holds no file to pack"):
            snapshot(root)
        (root / ".gitignore").write_text("*\n")
        with pytest.raises(SnapshotError, match="everything in it is ignored"):
            snapshot(root)

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("data", "ignored by .gitignore"),
            ("empty", "an empty directory"),
            ("results", "everything in it is ignored or empty"),
        ],
    )
    def test_an_include_path_that_selects_nothing_says_why(self, repo: Path, path: str, why: str) -> None:
        """A limit without files is named, with the reason."""
        write(repo, data__x_csv="1", results__y_tmp="1")
        (repo / "empty").mkdir()
        (repo / ".gitignore").write_text("data/\ny_tmp\n")
        with pytest.raises(SnapshotError, match=rf"include_paths: {path} \({why}.*no file is selected by it"):
            snapshot(repo, include=[path])

    def test_an_ignored_include_path_beside_another_is_refused(self, repo: Path) -> None:
        """What the author asked for by name is not left out silently; an empty directory may be."""
        write(repo, data__x_csv="1", src__a_py="1")
        (repo / "empty").mkdir()
        (repo / ".gitignore").write_text("data/\n")
        assert "src/a.py" in names(snapshot(repo, include=["src", "empty"]))
        with pytest.raises(SnapshotError, match=r"include_paths: data \(ignored"):
            snapshot(repo, include=["src", "data"])

    def test_include_path_inside_a_repository_inside(self, repo: Path) -> None:
        """A limit may lead into a submodule or a nested repository; only what it names is packed."""
        inner = repo / "vendor"
        inner.mkdir()
        git(inner, "init", "-q")
        write(inner, lib__a_py="1", lib__b_tmp="1", other_py="1")
        (inner / ".gitignore").write_text("b_tmp\n")
        commit_all(inner)
        assert names(snapshot(repo, include=["vendor/lib"])) == ["vendor/lib/a.py"]
        git(repo, "add", "vendor")
        commit_all(repo)
        assert names(snapshot(repo, include=["vendor/lib"])) == ["vendor/lib/a.py"]
        with pytest.raises(SnapshotError, match=r"include_paths: vendor holds no file in commit"):
            snapshot(repo, include=["vendor"], commit="HEAD")

    def test_the_repository_of_another_user_is_read(
        self, repo: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A checkout that another user made, as git-sync does, is packed like one's own."""
        write(repo, new_py="1", sub__s_py="1")
        own, below = names(snapshot(repo)), names(snapshot(repo / "sub"))
        commit_all(repo)
        # The variable with which git's own tests pretend that somebody else owns the repository.
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        assert names(snapshot(repo)) == own
        assert names(snapshot(repo / "sub")) == below
        assert {"new.py", "sub/s.py"} <= set(names(snapshot(repo, branch="main")))

    def test_programs_of_another_user_s_repository_are_not_run(
        self, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A repository of another user whose settings name a program is refused, and the program never runs."""
        git(repo, "config", "filter.evil.clean", f"touch {tmp_path / 'ran'}; cat")
        git(repo, "config", "filter.evil.smudge", f"touch {tmp_path / 'ran'}; cat")
        (repo / ".gitattributes").write_text("* filter=evil\n")
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        with pytest.raises(SnapshotError, match=r"names programs that git would run \(filter\.evil"):
            snapshot(repo)
        assert not (tmp_path / "ran").exists()

    def test_the_index_of_a_surrounding_git_does_not_matter(
        self, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Inside a git hook, git's variables point to another repository; they are not followed."""
        before = names(snapshot(repo))
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
        monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
        assert names(snapshot(repo)) == before

    def test_no_git_on_the_path(self, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without git a repository gives one clear error."""
        monkeypatch.setenv("PATH", "")
        with pytest.raises(SnapshotError, match="Install git"):
            snapshot(repo)

    def test_a_plain_directory_needs_no_git(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A directory that is in no repository is packed on a machine without git."""
        write(root, a_py="1", b_tmp="1")
        (root / ".gitignore").write_text("b_tmp\n")
        monkeypatch.setenv("PATH", "")
        assert names(snapshot(root)) == [".gitignore", "a.py"]

    @pytest.mark.parametrize(
        "rules",
        [
            "*.log\n!keep.log\n",
            "/build\nsub/build/\n",
            "build/\n!build/x.py\n",
            "*\n!*/\n!*.py\n",
            "sub/*\n!sub/deep\n",
            "**/deep/**\n",
            "deep/\n\n# a comment\n\\#odd\n",
            "[ab].py\n",
            "sub/**/x.py\n",
            "*.p?\n!a.py\n",
            "trailing \n",
        ],
    )
    def test_ignore_rules_are_those_of_git(self, root: Path, rules: str) -> None:
        """A plain directory and a repository with the same files select the same ones."""
        for folder in ("", "build/", "sub/", "sub/build/", "sub/deep/", "sub/deep/er/"):
            for name in ("a.py", "x.py", "y.log", "keep.log", "#odd", "trailing"):
                path = root / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("1")
        (root / ".gitignore").write_text(rules)
        (root / "sub" / ".gitignore").write_text("!y.log\n/a.py\n")
        plain = names(snapshot(root))
        limited = names(snapshot(root, include=["sub/deep", "a.py"])) if "sub/deep/a.py" in plain else None
        git(root, "init", "-q")
        assert names(snapshot(root)) == plain
        if limited is not None:
            assert names(snapshot(root, include=["sub/deep", "a.py"])) == limited


class TestDeterminism:
    """Content alone decides the key and the stream."""

    def clone(self, repo: Path, target: Path, umask: int) -> Path:
        """Clone *repo* under another umask."""
        old = os.umask(umask)
        try:
            target.parent.mkdir(parents=True)
            git(repo, "clone", "-q", str(repo), str(target))
        finally:
            os.umask(old)
        return target

    def test_two_clones(self, repo: Path, tmp_path: Path) -> None:
        """Two clones in two places with two umasks and other times have the same key and the same stream."""
        (repo / "run.sh").write_text("#!/bin/sh\n")
        (repo / "run.sh").chmod(0o755)
        (repo / "link").symlink_to("run.sh")
        commit_all(repo)
        one = self.clone(repo, tmp_path / "one" / "proj", 0o077)
        two = self.clone(repo, tmp_path / "two" / "proj", 0o000)
        for path in two.rglob("*.py"):
            os.utime(path, (1, 1))
        if os.geteuid() == 0:
            os.chown(two / "train.py", 1234, 1234)
        assert snapshot(one).key == snapshot(two).key
        assert tar_of(snapshot(one)) == tar_of(snapshot(two))

    def test_another_process_gives_the_same_archive(self, repo: Path) -> None:
        """The compressed stream carries no time and does not depend on the number of threads."""
        taken, first, second = snapshot(repo), io.BytesIO(), io.BytesIO()
        taken.write_archive(first)
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            taken.write_archive(second)
        finally:
            os.sched_setaffinity(0, allowed)
        assert first.getvalue() == second.getvalue()
        assert first.getvalue()[4:8] == bytes(4)
        assert gzip.decompress(first.getvalue()) == tar_of(taken)

    @pytest.mark.parametrize("change", ["content", "mode", "name", "target", "kind"])
    def test_every_part_counts(self, repo: Path, change: str) -> None:
        """Content, the executable bit, names, link targets and kinds all change the key."""
        (repo / "link").symlink_to("a")
        before = snapshot(repo).key
        if change == "content":
            write(repo, train_py="print(3)\n")
        elif change == "mode":
            (repo / "train.py").chmod(0o755)
        elif change == "name":
            (repo / "train.py").rename(repo / "train2.py")
        elif change == "target":
            (repo / "link").unlink()
            (repo / "link").symlink_to("b")
        else:
            (repo / "link").unlink()
            (repo / "link").write_text("a")
        assert snapshot(repo).key != before

    def test_same_size_and_time_is_noticed(self, repo: Path) -> None:
        """An edit that keeps size and modification time changes the key, also right after the last look."""
        before = snapshot(repo).key
        times = (repo / "train.py").stat()
        (repo / "train.py").write_text("print(9)\n")
        os.utime(repo / "train.py", ns=(times.st_atime_ns, times.st_mtime_ns))
        assert snapshot(repo).key != before


class TestHostileTrees:
    """Whatever is in a tree is packed right, or refused by its name."""

    def test_strange_names(self, repo: Path) -> None:
        """Newlines, quotes, leading dashes, long names and bytes that are no UTF-8 are packed as they are."""
        strange = [
            b"new\nline",
            b"quo'te\"s",
            b"-rf",
            b"--help",
            b"caf\xe9",
            b"\xff\xfe",
            b"a" * 200,
            b" ",
            b"\\x",
            b":!x",
        ]
        for name in strange:
            (repo / "src" / os.fsdecode(name)).write_bytes(name)
        found = {os.fsencode(name) for name in names(snapshot(repo))}
        assert {b"src/" + name for name in strange} <= found
        commit_all(repo)
        assert {os.fsencode(name) for name in names(snapshot(repo, commit="HEAD"))} == found | {
            b"src",
            b"research",
        }

    @pytest.mark.parametrize("name", [b"new\nline", b"-rf", b"--help", b":!x", b"*"])
    def test_strange_include_paths(self, repo: Path, name: bytes) -> None:
        """Include paths are never options or patterns."""
        (repo / os.fsdecode(name)).write_text("x")
        commit_all(repo)
        path = os.fsdecode(name)
        assert names(snapshot(repo, include=[path])) == [path]
        assert names(snapshot(repo, include=[path], commit="HEAD")) == [path]

    @pytest.mark.parametrize("tracked", [False, True])
    def test_pipe(self, repo: Path, tracked: bool) -> None:
        """A pipe is refused by name, whether it is new or stands where a tracked file was."""
        path = repo / "src" / ("model.py" if tracked else "pipe")
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        with pytest.raises(SnapshotError, match=f"src/{path.name} is a pipe"):
            snapshot(repo)

    def test_ignored_pipe(self, repo: Path) -> None:
        """A pipe that git ignores does not disturb."""
        os.mkfifo(repo / "x.log")
        assert "train.py" in names(snapshot(repo))

    def test_socket(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A socket is refused by name, also outside a repository."""
        write(root, a_py="1")
        monkeypatch.chdir(root)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("ipc.sock")
            with pytest.raises(SnapshotError, match=r"ipc\.sock is a pipe, a socket"):
                snapshot(root)

    def test_unreadable_file(self) -> None:
        """A file that may not be read is refused by name."""
        script = (
            "import os, sys; from pathlib import Path\n"
            "from airflow.providers.databricks_air.run.config.run_config import CodeSource\n"
            "from airflow.providers.databricks_air.run.code.snapshot import take_snapshot\n"
            "source = CodeSource(root_path=sys.argv[1])\n"
            # Root may read everything.
            "os.setuid(65534) if os.getuid() == 0 else None\n"
            "take_snapshot(source, Path('/'))\n"
        )
        # The directories of pytest are closed to other users.
        with tempfile.TemporaryDirectory() as root:
            Path(root).chmod(0o755)
            (Path(root) / "a.py").touch(0)
            command = [sys.executable, "-c", script, root]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert "SnapshotError: code_source: a.py cannot be read: Permission denied" in done.stderr

    def test_file_that_vanishes(self, repo: Path) -> None:
        """A file that vanishes between the look and the packing is named."""
        taken = snapshot(repo)
        (repo / "train.py").unlink()
        with pytest.raises(SnapshotError, match=r"train\.py vanished"):
            tar_of(taken)

    @pytest.mark.parametrize("content", ["print(2)\n", "longer than before\n", ""])
    def test_file_that_changes(self, repo: Path, content: str) -> None:
        """An archive never holds other content than its key says."""
        taken = snapshot(repo)
        write(repo, train_py=content)
        with pytest.raises(SnapshotError, match=r"train\.py changed"):
            taken.write_archive(io.BytesIO())

    def test_missing_root(self, tmp_path: Path) -> None:
        """A code directory that does not exist is named."""
        with pytest.raises(ConfigError, match="nowhere"):
            snapshot(tmp_path / "nowhere")

    def test_name_that_no_node_can_have(self, tmp_path: Path) -> None:
        """The directory's own name becomes a path on the node, so it must be plain text."""
        path = tmp_path / "bad\nname"
        path.mkdir()
        with pytest.raises(SnapshotError, match="Choose a directory"):
            snapshot(path)
