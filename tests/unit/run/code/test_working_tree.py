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
"""Code as it stands in the directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow.providers.databricks_air.run.errors import SnapshotError
from tests.unit.run.code.trees import commit_all, git, members, names, snapshot, write


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
