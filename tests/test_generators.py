"""OpenAPI Generator makes clients of the contract in eight languages; those of four call it."""

import json
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

import pytest
from apiflask import APIFlask

from tests.conftest import Account
from tests.generated import FAST, JAR, commands, generate
from tests.node import CLIENTS, need_node, run
from tests.rig.programs import need

pytestmark = pytest.mark.slow

LANGUAGES: Final = ["typescript", "python", "java", "kotlin", "go", "csharp", "swift", "dart"]

KNOWN: Final = {
    # Every document of OpenAPI 3.1 causes it.
    "WARN DefaultCodegen: OpenAPI 3.1 support is still in beta. To report an issue related to 3.1 "
    "spec, please kindly open an issue in the Github repo: "
    "https://github.com/openAPITools/openapi-generator.",
    # `additionalProperties: false` causes it, which tells clients that bodies are strict.
    "WARN ModelUtils: Failed to get the schema name: null",
    # Names of the contract do not change, and these are types of the two languages.
    "WARN AbstractCSharpCodegen: TimeZone (reserved word) cannot be used as model name. "
    "Renamed to ModelTimeZone",
    "WARN Swift6ClientCodegen: TimeZone (reserved word) cannot be used as model name. "
    "Renamed to ModelTimeZone",
    "WARN Swift6ClientCodegen: Type (reserved word) cannot be used as model name. "
    "Renamed to ModelType",
    # An import is JSON lines; this generator knows no bodies but JSON, forms and plain text.
    "WARN AbstractDartCodegen: The media-type 'application/jsonl' for operation '/v1/import' is "
    "not support in the Dart generators by default.",
}
"""Warnings that no document of this service could avoid."""

TYPES: Final = {
    "compilerOptions": {
        "strict": True,
        "target": "es2022",
        "module": "nodenext",
        "lib": ["es2022", "dom", "dom.iterable"],
        "types": [],
    },
    "include": ["**/*.ts"],
}

DRIVEN: Final = """\
listed Buy milk
complete true
refused 412 Buy milk true
left 0
"""

TOUR: Final = """
import sys
import tasks_generated as api

configuration = api.Configuration(host=sys.argv[1], access_token=sys.argv[2])
with api.ApiClient(configuration) as client:
    tasks = api.TasksApi(client)
    made = tasks.create_task(api.TaskCreate(title="Water the plants"), idempotency_key="once")
    again = tasks.create_task_with_http_info(
        api.TaskCreate(title="Water the plants"), idempotency_key="once"
    )
    print(again.data == made, again.headers["Idempotency-Replayed"])
    change = api.UpdateTaskOperation(
        op="update", type="task", id=made.id, if_match=f'"{made.version}"',
        body=api.TaskPatch(complete=True),
    )
    category = api.CreateCategoryOperation(
        op="create", type="category", id="01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e51",
        body=api.CategoryReplace(name="Home"),
    )
    batch = api.Batch(operations=[api.Operation(change), api.Operation(category)])
    results = api.BatchApi(client).run_batch(batch).results
    print([result.status for result in results], results[0].body.actual_instance.title)
    page = tasks.list_tasks(complete=True, sort=api.TaskOrder("-due"))
    print([task.title for task in page.items], page.next_cursor)
    print([change.type for change in api.ChangesApi(client).get_changes().items])
    deletion = api.DeleteOperation(op="delete", type="task", id=made.id)
    api.BatchApi(client).run_batch(api.Batch(operations=[api.Operation(deletion)]))
    try:
        tasks.get_task(made.id)
    except api.exceptions.NotFoundException as error:
        print(error.status, error.data.type)
"""

PRINTED: Final = """\
True true
[200, 201] Water the plants
['Water the plants'] None
['task', 'category']
404 /problems/not-found
"""


class Generated(NamedTuple):
    """Where the clients are, and what the generator warned of."""

    directory: Path
    warnings: list[str]


@pytest.fixture(scope="module")
def generated(app: APIFlask, tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """Clients that were written for an earlier service, whose tasks had no `completed_at`."""
    directory = tmp_path_factory.mktemp("generated")
    document = app.test_client().get("/openapi.json").json
    task = document["components"]["schemas"]["Task"]
    del task["properties"]["completed_at"]
    task["required"].remove("completed_at")
    contract = directory / "openapi.json"
    contract.write_text(json.dumps(document))
    return Generated(directory, generate(contract, directory))


def drive(server: str, command: list[str], directory: Path, **environment: str) -> str:
    """What the program prints that lets a new account create, change and delete a task."""
    ended = run([*command, server, f"{uuid4()}@example.com"], directory, **environment)
    assert (ended.stderr, ended.returncode) == ("", 0)
    return ended.stdout


def test_the_guide_has_a_command_for_each_language() -> None:
    assert [options["-o"] for options in commands()] == LANGUAGES


def test_the_document_causes_no_warning_and_no_error(generated: Generated) -> None:
    assert set(generated.warnings) == KNOWN
    for language in LANGUAGES:
        assert len(list((generated.directory / language).rglob("*.*"))) > 100, language


def test_the_python_client_is_imported_and_calls_the_service(
    generated: Generated, server: str, alice: Account
) -> None:
    compiled = run([sys.executable, "-m", "compileall", "-q", "python"], generated.directory)
    assert (compiled.returncode, compiled.stdout) == (0, "")
    path = str(generated.directory / "python")
    command = [sys.executable, str(CLIENTS / "drive.py")]
    assert drive(server, command, generated.directory, PYTHONPATH=path) == DRIVEN
    command = [sys.executable, "-c", TOUR, server, alice.token]
    ended = run(command, generated.directory, PYTHONPATH=path)
    assert (ended.stdout, ended.stderr) == (PRINTED, "")


def test_the_typescript_client_compiles_under_strict_rules_and_calls_the_service(
    generated: Generated, server: str, tmp_path: Path
) -> None:
    modules = need_node()
    (tmp_path / "typescript").symlink_to(generated.directory / "typescript")
    (tmp_path / "drive.ts").write_text((CLIENTS / "drive.ts").read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(json.dumps(TYPES))
    compiler = modules / "typescript" / "bin" / "tsc"
    compiled = run(["node", str(compiler), "--preserveSymlinks", "--project", "."], tmp_path)
    assert (compiled.returncode, compiled.stdout) == (0, "")
    assert drive(server, ["node", "drive.js"], tmp_path) == DRIVEN


def test_the_java_client_compiles_and_calls_the_service(
    generated: Generated, server: str, tmp_path: Path
) -> None:
    annotations = Path("/usr/share/java/jakarta-annotation-api.jar")
    need_file(annotations)
    sources = [
        str(file) for file in (generated.directory / "java" / "src" / "main").rglob("*.java")
    ]
    # The generator is written in Java and holds the libraries that its clients need.
    libraries = os.pathsep.join([str(JAR), str(annotations), str(tmp_path)])
    command = [need("javac"), f"-J{FAST[0]}", "-nowarn", "-proc:none", "-cp", libraries]
    compiled = run([*command, "-d", ".", *sources, str(CLIENTS / "Drive.java")], tmp_path)
    assert compiled.returncode == 0, compiled.stderr
    assert drive(server, [need("java"), *FAST, "-cp", libraries, "Drive"], tmp_path) == DRIVEN


def test_the_go_client_compiles_and_calls_the_service(
    generated: Generated, server: str, tmp_path: Path
) -> None:
    packages = Path("/usr/share/gocode")
    need_file(packages / "src" / "gopkg.in" / "validator.v2")
    program = tmp_path / "src" / "drive"
    program.mkdir(parents=True)
    (program / "drive.go").write_text((CLIENTS / "drive.go").read_text())
    (tmp_path / "src" / "tasks").symlink_to(generated.directory / "go")
    path = os.pathsep.join([str(tmp_path), str(packages)])
    compiled = run(
        [need("go"), "build", "-o", str(tmp_path / "run"), "drive"],
        tmp_path,
        GO111MODULE="off",
        GOPATH=path,
    )
    assert compiled.returncode == 0, compiled.stderr
    assert drive(server, [str(tmp_path / "run")], tmp_path) == DRIVEN


def need_file(path: Path) -> None:
    """Skip the test unless a package of the system has installed this."""
    if not path.exists():
        pytest.skip(f"{path} is not installed")
