"""OpenAPI Generator makes clients of the contract that compile, and that call the service."""

import json
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from apiflask import APIFlask

from tests.conftest import Account
from tests.node import need_node, run
from tests.rig.programs import need

pytestmark = pytest.mark.slow

JAR = files("openapi_generator_cli") / "openapi-generator.jar"

TYPES = {
    "compilerOptions": {
        "strict": True,
        "noEmit": True,
        "target": "es2022",
        "module": "esnext",
        "moduleResolution": "bundler",
        "lib": ["es2022", "dom", "dom.iterable"],
        "types": [],
    },
    "include": ["**/*.ts"],
}

TOUR = """
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

PRINTED = """\
True true
[200, 201] Water the plants
['Water the plants'] None
['task', 'category']
404 /problems/not-found
"""


@pytest.fixture(scope="module")
def contract(app: APIFlask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document in a file."""
    file = tmp_path_factory.mktemp("contract") / "openapi.json"
    file.write_bytes(app.test_client().get("/openapi.json").data)
    return file


def generate(contract: Path, generator: str, directory: Path, *options: str) -> None:
    """Have OpenAPI Generator write a client; it validates the document first."""
    command = [need("java"), "-jar", str(JAR), "generate", "--input-spec", str(contract)]
    command += ["--generator-name", generator, "--output", str(directory), *options]
    ended = run(command, directory.parent)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert " ERROR " not in ended.stdout + ended.stderr


def test_the_python_client_is_imported_and_calls_the_service(
    contract: Path, server: str, alice: Account, tmp_path: Path
) -> None:
    generate(contract, "python", tmp_path / "client", "--package-name", "tasks_generated")
    compiled = run([sys.executable, "-m", "compileall", "-q", "client"], tmp_path)
    assert (compiled.returncode, compiled.stdout) == (0, "")
    command = [sys.executable, "-c", TOUR, server, alice.token]
    ended = run(command, tmp_path, PYTHONPATH=str(tmp_path / "client"))
    assert (ended.stdout, ended.stderr) == (PRINTED, "")


def test_the_typescript_client_compiles_under_strict_rules(contract: Path, tmp_path: Path) -> None:
    modules = need_node()
    directory = tmp_path / "client"
    generate(contract, "typescript-fetch", directory)
    (directory / "tsconfig.json").write_text(json.dumps(TYPES))
    compiler = modules / "typescript" / "bin" / "tsc"
    ended = run(["node", str(compiler), "--project", "."], directory)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert len(list((directory / "models").glob("*.ts"))) > 30
