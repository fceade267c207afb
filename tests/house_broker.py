"""A house's own Mosquitto, with a password, for those that read from one."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiomqtt

from actors.local.mosquitto import find
from actors.local.ports import LOOPBACK, free_port
from edge.agent.inputs import MqttSettings
from tests.fleet_rig import until
from tests.servers import server_folder


@dataclass(frozen=True)
class HouseBroker:
    """One that asks for a password."""

    port: int
    password_file: Path
    process: "subprocess.Popen[bytes]"

    def client(self) -> aiomqtt.Client:
        return aiomqtt.Client(LOOPBACK, self.port, username="house", password="secret", timeout=60.0)

    def settings(self, *topics: str, **more: object) -> MqttSettings:
        return MqttSettings(host=LOOPBACK, port=self.port, topics=topics, password_file=str(self.password_file), **more)  # type: ignore[arg-type]


@contextmanager
def house_broker() -> Iterator[HouseBroker]:
    broker = find()
    port = free_port()
    with server_folder("house") as folder:
        passwords = folder / "passwords"
        passwd = shutil.which("mosquitto_passwd")
        assert passwd is not None
        subprocess.run([passwd, "-b", "-c", str(passwords), "house", "secret"], check=True, capture_output=True)
        passwords.chmod(0o644)
        configuration = folder / "mosquitto.conf"
        configuration.write_text(
            f"listener {port} {LOOPBACK}\nallow_anonymous false\npassword_file {passwords}\npersistence false\n"
        )
        ours = folder / "ours"
        ours.write_text("house:secret\n")
        quiet = subprocess.DEVNULL
        command, env = [str(broker.path), "-c", str(configuration)], os.environ | broker.env
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=env)
        try:
            yield HouseBroker(port, ours, process)
        finally:
            process.terminate()
            process.wait(60)


@asynccontextmanager
async def talking(house: HouseBroker) -> AsyncIterator[aiomqtt.Client]:
    """Another client of the house's broker, as soon as it listens."""

    async def listens() -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(LOOPBACK, house.port)
            writer.close()
            return True
        return False

    await until(listens)
    async with house.client() as client:
        yield client
