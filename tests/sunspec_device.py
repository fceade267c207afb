"""A SunSpec device over real Modbus TCP, for tests and the agent's demo.

`async with SunSpecDevice.inverter() as device:` listens on device.port; `device.tell(103, W=1200)` changes what it says.
`python -m tests.sunspec_device` runs one until it is interrupted.
"""

import asyncio
from typing import Any, cast

import structlog
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from sunspec2.device import Group, Model

BASE = 40_000
RATED_POWER_W = 10_000
LOOPBACK = "127.0.0.1"


def common(serial: str, maker: str = "Made Up", model: str = "SP-10") -> Model:
    return _filled(Model(1), {"Mn": maker, "Md": model, "Vr": "1.0", "SN": serial, "DA": 1, "Pad": 0})


def three_phase_inverter(**points: float) -> Model:
    """Model 103; volts and hertz in hundredths or tenths, energy in Wh."""
    scales = {
        "A_SF": -2,
        "V_SF": -1,
        "W_SF": 0,
        "Hz_SF": -2,
        "WH_SF": 0,
        "DCA_SF": -2,
        "DCV_SF": -1,
        "DCW_SF": 0,
        "Tmp_SF": -1,
    }
    said = {
        "A": 1050, "AphA": 350, "AphB": 351, "AphC": 349, "PhVphA": 2311, "PhVphB": 2320, "PhVphC": 2329,
        "W": 7_250, "Hz": 5001, "WH": 18_250_340, "DCW": 7_400, "TmpCab": 417, "St": 4,
    }  # fmt: skip
    return _filled(Model(103), scales | said | points)


def mppt(*inputs: tuple[int, int, int]) -> Model:
    """Model 160: (tenths of a volt, hundredths of an ampere, watts) of each DC input."""
    length = 8 + 20 * len(inputs)  # registers: a head, and a group for each input
    head = Model(160, model_len=length, data=(160).to_bytes(2, "big") + length.to_bytes(2, "big") + bytes(2 * length))
    _filled(head, {"DCA_SF": -2, "DCV_SF": -1, "DCW_SF": 0, "DCWH_SF": 0, "N": len(inputs)})
    for number, (volts, amperes, watts) in enumerate(inputs, 1):
        group: Group = head.groups["module"][number - 1]
        for point, value in {"ID": number, "DCV": volts, "DCA": amperes, "DCW": watts}.items():
            group.points[point].value = value
    return head


def meter(**points: float) -> Model:
    """Model 203."""
    scales = {"A_SF": -1, "V_SF": -1, "W_SF": 0, "Hz_SF": -2, "TotWh_SF": 0}
    said = {"A": 95, "PhV": 2318, "Hz": 4998, "W": -1_840, "TotWhExp": 3_210_987, "TotWhImp": 12_345_678}
    return _filled(Model(203), scales | said | points)


def controls(**points: float) -> Model:
    """Model 123, in steps of a hundredth of a percent, and without a limit."""
    said = {"WMaxLimPct": 10_000, "WMaxLimPct_RvrtTms": 0, "WMaxLim_Ena": 0, "WMaxLimPct_SF": -2, "Conn": 1}
    return _filled(Model(123), said | points)


class SunSpecDevice:
    """holding the models in their order; what is not set is "not implemented".

    What is written stays, unless it is stubborn. An inverter with controls gives no more than they say of RATED_POWER_W.
    writes  (register, value) of all that was written, in their order
    """

    def __init__(self, *models: Model, base: int = BASE, unit_id: int = 1, port: int = 0) -> None:
        self.models = list(models)
        self.port = port
        self.reads = 0
        self.writes: list[tuple[int, int]] = []
        self.stubborn = False
        self._base = base
        self._unit_id = unit_id
        self._server: ModbusTcpServer | None = None

    @classmethod
    def inverter(cls, serial: str = "INV-0001", **more: Any) -> "SunSpecDevice":
        """Three phases and two DC inputs."""
        return cls(common(serial), three_phase_inverter(), mppt((6_012, 410, 2_465), (5_988, 822, 4_922)), **more)

    @classmethod
    def limited_inverter(cls, serial: str = "INV-0001", port: int = 0, **points: float) -> "SunSpecDevice":
        return cls(common(serial), three_phase_inverter(), controls(**points), port=port)

    def said(self, model_id: int, point: str) -> int:
        """As it stands in the register."""
        return int(next(model for model in self.models if model.model_id == model_id).points[point].value)

    def tell(self, model_id: int, **points: float | None) -> None:
        """None: not implemented from now on."""
        model = next(model for model in self.models if model.model_id == model_id)
        for name, value in points.items():
            model.points[name].value = value

    async def __aenter__(self) -> "SunSpecDevice":
        device = SimDevice(
            self._unit_id, [SimData(self._base, values=self._registers(), datatype=DataType.REGISTERS)], action=self._refresh
        )
        self._server = ModbusTcpServer(device, address=(LOOPBACK, self.port))
        await self._server.serve_forever(background=True)
        listening = cast(asyncio.Server, self._server.transport)
        self.port = listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        """It may come back, at the same port: then it wants one that is nobody else's meanwhile (`port=free_port()`)."""
        assert self._server is not None
        await self._server.shutdown()  # type: ignore[no-untyped-call]

    async def _refresh(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> None:
        self.reads += 1
        for position, value in enumerate(values or ()):
            self._write(address + position, value)
        registers[:] = self._registers()

    def _write(self, address: int, value: int) -> None:
        """Of points of one register, which are all that anybody writes."""
        self.writes.append((address, value))
        begin = self._base + 2
        for model in self.models:
            for point in model.points.values():
                if begin + point.offset == address and not self.stubborn:
                    point.value = value
            begin += len(model.get_mb()) // 2

    def _registers(self) -> list[int]:
        data = b"SunS" + b"".join(map(self._block, self.models)) + b"\xff\xff\x00\x00"
        return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]

    def _block(self, model: Model) -> bytes:
        power = model.points.get("W") if model.model_id == 103 else None
        limit = next((each.points for each in self.models if each.model_id == 123), None)
        if power is None or limit is None or power.value is None or limit["WMaxLim_Ena"].value != 1:
            return bytes(model.get_mb())
        able_w, scale = power.value, limit["WMaxLimPct_SF"].value
        power.value = min(able_w, int(RATED_POWER_W * limit["WMaxLimPct"].value * 10.0**scale / 100))
        try:
            return bytes(model.get_mb())
        finally:
            power.value = able_w


def _filled(model: Model, points: dict[str, Any]) -> Model:
    length = len(model.get_mb()) // 2 - 2
    for name, value in points.items():
        model.points[name].value = value
    model.points["ID"].value = model.model_id
    model.points["L"].value = length
    return model


async def _serve_for_ever() -> None:
    async with SunSpecDevice.inverter(port=5_020) as device:
        structlog.get_logger().info("listening", host=LOOPBACK, port=device.port)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_for_ever())
