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
"""Code that is pinned: a commit, or the head of a branch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from airflow.providers.databricks_air.run.code.snapshot import commit_key
from airflow.providers.databricks_air.run.errors import SnapshotError
from tests.unit.run.code.trees import commit_all, git, members, names, snapshot, tar_of, write

DEAD = "a3492b801c0ffee00000000000000000000dead"


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
