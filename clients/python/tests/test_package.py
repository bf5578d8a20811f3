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
    variables = environment() | ({"PATH": path} if path else {})
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command} has ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an empty environment with the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, PROJECT, cwd=folder)
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(folder / "venv/bin/pip", "install", "-q", "--disable-pip-version-check", wheel, cwd=folder)
    return folder / "venv/bin/python"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `turnstile` is our binary."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/turnstile").symlink_to(BINARY)
    return f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"


def programs() -> dict[str, str]:
    """The programs of the README, by the name in their first line."""
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    return dict(blocks)


def test_the_first_program_of_the_readme_works_from_an_empty_folder(python: Path, path: str, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "first.py").write_text(programs()["first.py"])
    said = run(python, "first.py", cwd=folder, path=path)
    assert re.findall(r"call (\d)", said) == list("0123456")


@pytest.mark.parametrize("program", sorted(set(programs()) - {"first.py"}))
def test_the_other_programs_of_the_readme_work(python: Path, path: str, tmp_path: Path, program: str) -> None:
    (tmp_path / program).write_text(programs()[program])
    run(python, program, cwd=tmp_path, path=path)


def test_the_wheel_is_typed_and_brings_no_tests(python: Path, tmp_path: Path) -> None:
    said = run(python, "-c", "import turnstile, pathlib; print(pathlib.Path(turnstile.__file__).parent)", cwd=tmp_path)
    package = Path(said.strip())
    assert (package / "py.typed").is_file()
    assert (package / "v1/throttle_pb2.py").is_file()
    assert not (package.parent / "tests").exists()


def test_the_example_needs_nothing_but_the_binary(path: str, tmp_path: Path) -> None:
    example = PROJECT / "examples/task_queue.py"
    said = run(sys.executable, example, "--seconds", "2", "--window", "0.5", "--workers", "2", cwd=tmp_path, path=path)
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
