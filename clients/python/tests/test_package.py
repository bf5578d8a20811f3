"""The wheel in an empty environment, the README's programs, and the node for development."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import turnstile.dev
from turnstile import Connection, RateLimit, Unavailable

from .support import BINARY, environment

PROJECT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, path: str | None = None) -> str:
    """What a command says that ends well."""
    return run_both(*command, cwd=cwd, path=path)[0]


def run_both(*command: str | Path, cwd: Path, path: str | None = None) -> tuple[str, str]:
    """And what it says on standard error."""
    variables = environment() | ({"PATH": path} if path else {})
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command} has ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an empty environment with the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    # The wheel is built of the sdist, so that this has all that it takes.
    run(sys.executable, "-m", "build", "--outdir", folder, PROJECT, cwd=folder)
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(folder / "venv/bin/pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=folder)
    return folder / "venv/bin/python"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `turnstile` is our binary, and `python3` the interpreter of these tests."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/turnstile").symlink_to(BINARY)
    return os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])


README = (PROJECT / "README.md").read_text()


def programs(text: str = README) -> dict[str, str]:
    """The programs of the README, by the name in their first line."""
    return dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL))


def commands(text: str) -> list[str]:
    """What it has a user type, in order."""
    return re.findall(r"^\$ (.*)$", text, re.MULTILINE)


def test_the_first_program_works_from_an_empty_folder_by_the_words_of_the_readme(path: str, tmp_path: Path) -> None:
    section = README.partition("## A first program\n")[2].partition("\n## ")[0]
    folder = tmp_path / "empty"
    folder.mkdir()
    typed = commands(section)
    assert len(typed) == 3
    for command in typed:
        # The program is written when it is run, as one who follows the text does.
        for program, code in programs(section).items():
            if program in command:
                (folder / program).write_text(code)
        said = run("bash", "-c", command.replace("/path/to/turnstile/clients/python", str(PROJECT)), cwd=folder, path=path)
    assert re.findall(r"call (\d)", said) == list("0123456")
    # Three at once, one window later three more, and the last another window later.
    assert [float(second) for second in re.findall(r"^ *([\d.]+) s", said, re.MULTILINE)][3::3] == pytest.approx([1, 2], abs=0.4)


@pytest.mark.parametrize("program", sorted(set(programs()) - {"first.py"}))
def test_the_other_programs_of_the_readme_work(python: Path, path: str, tmp_path: Path, program: str) -> None:
    (tmp_path / program).write_text(programs()[program])
    said, complained = run_both(python, program, cwd=tmp_path, path=path)
    assert complained == ""
    # What a line prints is said behind it.
    expected = re.findall(r"print\(.*\)  # (.*)$", programs()[program], re.MULTILINE)
    assert [line for line in expected if line not in said.splitlines()] == []


def test_a_type_checker_finds_nothing_in_the_programs_of_the_readme(tmp_path: Path) -> None:
    for program, code in programs().items():
        (tmp_path / program).write_text(code)
    run(sys.executable, "-m", "mypy", "--strict", *sorted(programs()), cwd=tmp_path)


def test_the_wheel_is_typed_and_brings_no_tests(python: Path, tmp_path: Path) -> None:
    said = run(python, "-c", "import turnstile, pathlib; print(pathlib.Path(turnstile.__file__).parent)", cwd=tmp_path)
    package = Path(said.strip())
    assert (package / "py.typed").is_file()
    assert (package / "v1/throttle_pb2.py").is_file()
    assert not (package.parent / "tests").exists()
    about = "from importlib.metadata import distribution as d; print(d('turnstile-client').read_text('METADATA').partition('\\n\\n')[0])"
    metadata = run(python, "-c", about, cwd=tmp_path).splitlines()
    assert {"License-Expression: MIT OR Apache-2.0", "License-File: LICENSE", "Requires-Python: >=3.10"} <= set(metadata)
    (licence,) = package.parent.glob("turnstile_client-*.dist-info/licenses/LICENSE")
    assert licence.read_text() == (PROJECT.parents[1] / "LICENSE").read_text()


def test_the_example_needs_nothing_but_the_binary(path: str) -> None:
    (command,) = (command for command in commands(README) if "task_queue.py" in command)
    said = run("bash", "-c", command, cwd=PROJECT, path=path)
    assert "every two starts are a window apart" in said


def test_the_generated_code_is_that_of_the_proto() -> None:
    from google.protobuf import descriptor_pb2

    from turnstile.v1 import throttle_pb2

    proto = (PROJECT.parents[1] / "proto/turnstile/v1/throttle.proto").read_text()
    described = descriptor_pb2.FileDescriptorProto()
    throttle_pb2.DESCRIPTOR.CopyToProto(described)
    assert re.findall(r"^message (\w+)", proto, re.MULTILINE) == [message.name for message in described.message_type]
    numbers = {f"{field.name} = {field.number}" for message in described.message_type for field in message.field}
    assert numbers == set(re.findall(r"^ +(?:optional |repeated )?[\w.]+ (\w+ = \d+);", proto, re.MULTILINE)) - _enum_values(proto)


def _enum_values(proto: str) -> set[str]:
    return set(re.findall(r"^ +([A-Z_]+ = \d+);", proto, re.MULTILINE))


def test_a_node_for_development_ends_with_its_block() -> None:
    with turnstile.dev.node(binary=BINARY) as node:
        with node.client() as client:
            assert client.throttle(Connection("dev", "one", rate_limit=RateLimit(1, 1)), lambda: 1) == 1
        os.kill(node.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(node.pid, 0)


def test_a_node_that_can_not_be_started_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no-such-turnstile"), turnstile.dev.node(binary="no-such-turnstile"):
        pass
    with pytest.raises(Unavailable, match="ended with code 2"), turnstile.dev.node(binary=BINARY, listen="nowhere"):
        pass
