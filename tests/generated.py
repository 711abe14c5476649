"""Clients in eight languages, as OpenAPI Generator writes them by the commands of the guide."""

import json
import re
import shlex
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from tests.conftest import ROOT
from tests.node import run
from tests.rig.programs import need

JAR: Final = files("openapi_generator_cli") / "openapi-generator.jar"

FAST: Final = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
"""Options of Java for a process that ends soon."""

LOGGING: Final = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%level %logger{0}: %message%n</pattern></encoder>
  </appender>
  <logger name="org.openapitools.codegen" level="warn" />
  <logger name="io.swagger.v3" level="warn" />
  <root level="warn"><appender-ref ref="out" /></root>
</configuration>
"""
"""The generator logs only errors while it runs a batch, unless a logger says otherwise."""


def commands() -> Iterator[dict[str, str]]:
    """The options of each command of the guide."""
    page = (ROOT / "docs" / "clients.md").read_text().replace("\\\n", " ")
    for line in re.findall(r"^openapi-generator-cli generate (.+)$", page, re.M):
        words = shlex.split(line)
        yield dict(zip(words[::2], words[1::2], strict=True))


def generate(contract: Path, directory: Path) -> list[str]:
    """Write all clients in one process; return the warnings and errors that it logs."""
    (directory / "logback.xml").write_text(LOGGING)
    settings = []
    for options in commands():
        extra = options.get("--additional-properties", "").split(",")
        setting = {
            "generatorName": options["-g"],
            "inputSpec": str(contract),
            "outputDir": str(directory / options["-o"]),
            "additionalProperties": dict(each.split("=") for each in extra if each),
        }
        file = directory / f"{options['-g']}.json"
        file.write_text(json.dumps(setting))
        settings.append(str(file))
    command = [need("java"), *FAST, f"-Dlogback.configurationFile={directory / 'logback.xml'}"]
    ended = run([*command, "-jar", str(JAR), "batch", *settings], directory)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    return re.findall(r"^(?:WARN|ERROR) .*", ended.stdout + ended.stderr, re.M)
