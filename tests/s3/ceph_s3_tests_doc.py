"""Writes docs/s3-tests.md from the table of a run and from the reasons that somebody found out.

    python3 tests/s3/ceph_s3_tests.py PATH/TO/s3-tests --without-left-out
    cp target/ceph-s3-tests/table.tsv tests/s3/ceph_s3_tests.tsv
    python3 tests/s3/ceph_s3_tests_doc.py [--check]

`ceph_s3_tests.reasons.tsv` has a line for each test that does not pass, or for many tests with the pattern of their names
between slashes. Exit code 1 if a test does not pass and nobody said why, if a reason is left of a test that passes, or, with
`--check`, if the page is not what would be written.
"""
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs/s3-tests.md"
WIDTH = 124

HEAD = """# ceph/s3-tests

What of the S3 tests of Ceph passes, and why the rest does not. `tests/s3/ceph_s3_tests.py` runs them (its head says how) against
fresh `cairn dev`s, on users of their own, with the suite's own clean-up; nothing is done for any test. Counted are the tests
without those of logging, lifecycle and cloud. This page is written by `tests/s3/ceph_s3_tests_doc.py` from the table of a run,
`tests/s3/ceph_s3_tests.tsv`, which has a line for each test, and from `ceph_s3_tests.reasons.tsv`. With `--compare` the runner lists
what passed there and does not pass now. Where a reason names AWS, it is what its documentation says or what is told of it; it was not
tried.
"""

# What is to be known of the table as it stands. It changes with the table.
NOTE = """
One whole run of 21 November 2026 counted 468 and 31. What was mended then let 28 more pass. The run after that was ended by a machine
with too much else to do when 615 of the 719 tests were through; the 28 were run by themselves, and 93 that it did not reach (25 of
them pass, the others want encryption or are named below) stand as they were counted before.
"""


def read(name, columns):
    """The lines of a table without its head."""
    lines = (HERE / name).read_text().splitlines()[1:]
    return [tuple((line.split("\t") + [""] * columns)[:columns]) for line in lines if line]


class Reasons:
    """Why tests do not pass: by name, or by patterns, of which the first that fits counts."""

    def __init__(self):
        self.exact, self.patterns, self.used = {}, [], set()
        for name, group, why in read("ceph_s3_tests.reasons.tsv", 3):
            if name.startswith("/"):
                self.patterns.append((re.compile(name.strip("/")), group, why))
            else:
                self.exact[name] = (group, why)

    def of(self, name):
        """The group and the reason of a test; none where nobody found out."""
        if name in self.exact:
            self.used.add(name)
            return self.exact[name]
        return next(((group, why) for pattern, group, why in self.patterns if pattern.search(name)), None)


def wrapped(names):
    """Names as lines of a paragraph."""
    lines, line = [], ""
    for name in names:
        word = f"`{name.removeprefix('test_')}`"
        if line and len(line) + len(word) + 3 > WIDTH:
            lines.append(line + ",")
            line = word
        else:
            line = f"{line}, {word}" if line else word
    return [*lines, line]


def counted(results):
    """How many of a file's tests had which result, in words."""
    kinds = [result for _, result in results]
    passed, skipped = kinds.count("passed"), kinds.count("skipped")
    return f"**{passed} of {len(kinds)} pass**, {skipped} are skipped by the suite itself, {len(kinds) - passed - skipped} do not pass"


def page():
    """The page, and what is wrong with the reasons."""
    files, reasons, groups, single, complaints = {}, Reasons(), {}, [], []
    for test, result, _ in read("ceph_s3_tests.tsv", 3):
        file, name = test.split("::", 1)
        files.setdefault(file, []).append((name, result))
        if result in ("passed", "skipped"):
            continue
        found = reasons.of(name)
        if found is None:
            complaints.append(f"nobody said why {name} does not pass")
            continue
        group, why = found
        if group:
            groups.setdefault((group, why), []).append(name)
        else:
            single.append((name, why))
    complaints += [f"{name} has a reason and passes" for name in reasons.exact if name not in reasons.used]
    lines = [HEAD + NOTE, *(f"- `{file}.py`: {counted(results)}." for file, results in files.items()), ""]
    lines += ["| Reason | Tests | |", "|---|---|---|"]
    lines += [f"| {group} | {len(names)} | {why} |" for (group, why), names in groups.items()]
    lines += [f"| Single tests | {len(single)} | below |", "", "## Single tests", "", "| Test | Why |", "|---|---|"]
    lines += [f"| `{name}` | {why} |" for name, why in single]
    for (group, why), names in groups.items():
        lines += ["", f"## {group}", "", f"{why[0].upper()}{why[1:]}.", "", *wrapped(names)]
    return "\n".join(lines) + "\n", complaints


def main():
    text, complaints = page()
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text() != text:
            complaints.append(f"{PAGE.name} is not what its table says; write it with {Path(__file__).name}")
    else:
        PAGE.write_text(text)
    print("\n".join(complaints or ["all of it holds"]))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
