"""Adds up what the test runners wrote down: `count.py FOLDER`, used by tests/run.

rust.xml and python.xml are JUnit files, doc.txt is what `cargo test --doc` printed. A runner that
left nothing behind, or that ran no test, is a failure: no result is not a good result.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def junit(path: Path) -> tuple[int, int, int]:
    """Passed, failed and skipped of one JUnit file, test case by test case."""
    passed = failed = skipped = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def doctests(path: Path) -> tuple[int, int, int]:
    """The same from the closing lines of rustdoc's test runner."""
    closing = re.findall(
        r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", path.read_text(), re.MULTILINE
    )
    return tuple(sum(int(line[position]) for line in closing) for position in range(3))


def main(folder: Path) -> int:
    counted = {
        "Rust tests": (folder / "rust.xml", junit),
        "documentation examples": (folder / "doc.txt", doctests),
        "outer tests": (folder / "python.xml", junit),
    }
    total = [0, 0, 0]
    good = True
    for name, (path, count) in counted.items():
        result = count(path) if path.exists() else (0, 0, 0)
        print(f"{name}: {result[0]} passed, {result[1]} failed, {result[2]} skipped")
        if result[0] + result[1] == 0:
            print(f"FAILED: {name} did not run")
            good = False
        total = [sum(pair) for pair in zip(total, result, strict=True)]
    skipped = f", {total[2]} skipped" if total[2] else ""
    print(f"{total[0]} passed, {total[1]} failed{skipped}")
    return 0 if good and total[1] == 0 else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
