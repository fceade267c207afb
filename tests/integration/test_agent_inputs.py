"""The agent's inputs against what they read: a SunSpec device over Modbus TCP, and a broker of the house's own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

from actors.local.ports import free_port
from edge.agent.inputs import (
    Input,
    Limiting,
    ModbusSettings,
    MqttSettings,
    Registered,
    SunspecSettings,
    make_input,
)
from edge.agent.inputs.settings import Register
from fleet.codecs.registry import decode_raw
from fleet.errors import FleetError, Unavailable
from fleet.telemetry import RawMessage, Sample
from tests.fleet_rig import until
from tests.house_broker import HouseBroker, house_broker, talking
from tests.samples.sparkplug_node import Metric, payload
from tests.sunspec_device import LOOPBACK, SunSpecDevice, common, meter, mppt, three_phase_inverter


class Kept:
    def __init__(self) -> None:
        self.said: list[tuple[str | None, Sample]] = []
        self.messages: list[RawMessage] = []

    def samples(self, samples: list[Sample], source: str | None) -> None:
        self.said += [(source, sample) for sample in samples]

    def raw(self, messages: list[RawMessage]) -> None:
        self.messages += messages

    async def latest(self, source: str | None) -> dict[str, float | None]:
        async def found() -> Sample | None:
            return next((sample for whose, sample in reversed(self.said) if whose == source), None)

        sample = await until(found)
        self.said.clear()
        assert isinstance(sample, Sample)
        return sample.v


@asynccontextmanager
async def running(source: Input, sink: Kept) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(source.run(sink))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, FleetError):
            await task


class Limited:
    """full_power_in_s: when it ends."""

    def __init__(self, pct: float | None = None, full_power_in_s: float | None = None) -> None:
        self.pct = pct
        self.full_power_in_s = full_power_in_s


def sunspec(port: int, tmp_path: Path, profile: str = "gateway", limit: Limited | None = None, **more: object) -> Input:
    settings = SunspecSettings(host=LOOPBACK, port=port, period_s=1.0, **more)  # type: ignore[arg-type]
    return make_input(settings, profile=profile, state_folder=tmp_path, limit=limit)


async def test_a_sunspec_device_is_found_and_read_again_and_again(tmp_path: Path) -> None:
    sink = Kept()
    async with SunSpecDevice.inverter("INV-0001") as device, running(sunspec(device.port, tmp_path), sink):
        said = await sink.latest("INV-0001")
        assert said["pv_power_w"] == 7_250.0
        assert said["dc_voltage_v_2"] == 598.8
        device.tell(103, W=1_000, TmpCab=None)

        async def told() -> bool:
            return (await sink.latest("INV-0001")).get("pv_power_w") == 1_000.0

        await until(told)
        assert "inverter_temp_c" not in await sink.latest("INV-0001")


async def test_a_meter_behind_the_same_address_has_a_serial_of_its_own(tmp_path: Path) -> None:
    sink = Kept()
    models = (common("INV-1"), three_phase_inverter(), mppt((6_000, 100, 600)), common("MTR-9"), meter())
    async with (
        SunSpecDevice(*models, base=0) as device,
        running(sunspec(device.port, tmp_path, "sunspec-inverter", meter_sign="export"), sink),
    ):
        own = await sink.latest(None)  # the agent is the inverter itself
        assert own["pv_power_w"] == 7_250.0
        assert (await sink.latest("MTR-9"))["grid_power_w"] == 1_840.0


async def test_a_device_that_goes_away_is_an_error_and_is_found_when_it_returns(tmp_path: Path) -> None:
    sink = Kept()
    async with SunSpecDevice.inverter("INV-0001", port=free_port()) as device:
        async with running(sunspec(device.port, tmp_path), sink) as reading:
            await sink.latest("INV-0001")
            await device.__aexit__()
            with pytest.raises(Unavailable) as away:
                await asyncio.wait_for(reading, 60)
            assert away.value.code in ("modbus_away", "modbus_refused")
        with pytest.raises(Unavailable) as away:
            await sunspec(device.port, tmp_path).run(sink)
        assert away.value.code == "modbus_away"
        await device.__aenter__()
        async with running(sunspec(device.port, tmp_path), sink):
            await sink.latest("INV-0001")


async def test_an_input_that_is_stopped_just_when_its_device_answers_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Kept()
    ask = AsyncModbusTcpClient.read_holding_registers

    async def answered_and_cancelled(client: AsyncModbusTcpClient, *given: Any, **more: Any) -> Any:
        """As Python 3.11 does when both happen in one turn of its loop."""
        answer = await ask(client, *given, **more)
        if sink.said:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        return answer

    monkeypatch.setattr(AsyncModbusTcpClient, "read_holding_registers", answered_and_cancelled)
    async with SunSpecDevice.inverter() as device:
        reading = asyncio.create_task(sunspec(device.port, tmp_path).run(sink))
        await asyncio.wait([reading], timeout=60)
        assert reading.cancelled()
    assert len(sink.said) == 1


async def test_an_inverter_is_told_its_limit_and_gives_less(tmp_path: Path) -> None:
    sink, limit = Kept(), Limited()
    async with SunSpecDevice.limited_inverter() as device:
        source = sunspec(device.port, tmp_path, limit=limit)
        assert isinstance(source, Limiting)
        async with running(source, sink):
            assert (await sink.latest("INV-0001"))["pv_power_w"] == 7_250.0
            assert device.writes == []  # nobody has said anything of a limit: what is set at the inverter stays
            limit.pct, limit.full_power_in_s = 33.339, 1_800.0
            assert await source.obey_limit()
            said = {point: device.said(123, point) for point in ("WMaxLimPct", "WMaxLim_Ena", "WMaxLimPct_RvrtTms")}
            assert said == {"WMaxLimPct": 3_333, "WMaxLim_Ena": 1, "WMaxLimPct_RvrtTms": 1_800}
            assert await until(lambda: said_power(sink, 3_333.0))
            told = len(device.writes)
            assert await source.obey_limit()
            assert len(device.writes) == told  # it keeps to it: nothing is written again
            device.tell(123, WMaxLim_Ena=0)  # it was without power
            assert await until(lambda: said_power(sink, 3_333.0))
            limit.pct, limit.full_power_in_s = 50.0, None
            await source.obey_limit()
            assert device.said(123, "WMaxLimPct_RvrtTms") == 0  # the configuration's: for good
            limit.pct = 100.0
            await source.obey_limit()
            assert device.said(123, "WMaxLim_Ena") == 0
            assert await until(lambda: said_power(sink, 7_250.0))


async def said_power(sink: Kept, power_w: float) -> bool:
    return (await sink.latest("INV-0001"))["pv_power_w"] == power_w


async def test_the_limit_is_rounded_down_to_the_inverters_steps(tmp_path: Path) -> None:
    limit = Limited(29.99, 100_000.0)
    async with SunSpecDevice.limited_inverter(WMaxLimPct_SF=0, WMaxLimPct=100) as device:
        sink = Kept()
        async with running(sunspec(device.port, tmp_path, limit=limit), sink):
            assert await until(lambda: said_power(sink, 2_900.0))
            assert device.said(123, "WMaxLimPct_RvrtTms") == 0  # more than its register holds


@pytest.mark.parametrize(("make", "code"), [("inverter", "no_limit_control"), ("stubborn", "limit_not_taken")])
async def test_an_inverter_that_cannot_be_limited_says_why_and_is_read_all_the_same(
    make: str, code: str, tmp_path: Path
) -> None:
    sink, limit = Kept(), Limited()
    device = SunSpecDevice.inverter() if make == "inverter" else SunSpecDevice.limited_inverter()
    device.stubborn = make == "stubborn"
    async with device:
        source = sunspec(device.port, tmp_path, limit=limit)
        assert isinstance(source, Limiting)
        with pytest.raises(Unavailable) as away:
            await source.obey_limit()
        assert away.value.code == "input_away"
        async with running(source, sink):
            await sink.latest("INV-0001")
            assert bool(source.limit_problem) == (make == "inverter")
            limit.pct = 50.0
            with pytest.raises(Unavailable) as refused:
                await source.obey_limit()
            assert refused.value.code == code
            assert (await sink.latest("INV-0001"))["pv_power_w"] == 7_250.0


async def test_a_meter_has_nothing_to_limit(tmp_path: Path) -> None:
    sink = Kept()
    async with SunSpecDevice(common("MTR-9"), meter()) as device:
        source = sunspec(device.port, tmp_path, limit=Limited(50.0))
        assert isinstance(source, Limiting)
        async with running(source, sink):
            await sink.latest("MTR-9")
            assert (source.limit_problem, await source.obey_limit()) == ("", False)


async def test_registers_are_read_through_the_connection_that_there_is(tmp_path: Path) -> None:
    sink = Kept()
    async with SunSpecDevice.inverter() as device:
        source = sunspec(device.port, tmp_path)
        assert isinstance(source, Registered)
        assert await source.read_registers(40_000, 2) == [0x5375, 0x6E53]  # over one of its own
        async with running(source, sink):
            await sink.latest("INV-0001")
            assert await source.read_registers(40_000, 2) == [0x5375, 0x6E53]
            with pytest.raises(Unavailable, match="modbus_refused"):
                await source.read_registers(1, 5)
            await sink.latest("INV-0001")


async def test_modbus_without_sunspec_says_so(tmp_path: Path) -> None:
    async with SunSpecDevice(common("X"), base=1_234) as device:
        with pytest.raises(Unavailable) as found:
            await sunspec(device.port, tmp_path).run(Kept())
        assert found.value.code == "no_sunspec"


async def test_registers_are_read_by_their_map_and_a_refused_one_is_missing(tmp_path: Path) -> None:
    sink = Kept()
    async with SunSpecDevice.inverter(unit_id=7) as device:
        first = 40_000 + 2 + 68 + 2  # mark, common model, head of model 103
        registers = (
            Register("pv_power_w", first + 12, "i16"),
            Register("pv_energy_wh", first + 22, "u32"),
            Register("ac_voltage_v", first + 8, "u16", scale=0.1),
            Register("ambient_temp_c", 10, "i16"),  # not there
        )
        settings = ModbusSettings(
            host=LOOPBACK, port=device.port, unit_id=7, period_s=1.0, source="INV-7", registers=registers
        )
        async with running(make_input(settings, profile="gateway", state_folder=tmp_path), sink):
            said = await sink.latest("INV-7")
    assert said == {"pv_power_w": 7_250.0, "pv_energy_wh": 18_250_340.0, "ac_voltage_v": pytest.approx(231.1)}


# A broker of the house's own ------------------------------------------------------------------------------------------


@pytest.fixture
def house() -> Iterator[HouseBroker]:
    with house_broker() as broker:
        yield broker


async def test_a_houses_messages_go_on_untouched_and_copies_are_marked(house: HouseBroker, tmp_path: Path) -> None:
    sink = Kept()
    async with talking(house) as client:
        await client.publish("solar/114182940773/0/power", b"111", retain=True, qos=1)
        source = make_input(house.settings("solar/#"), profile="opendtu", state_folder=tmp_path)
        async with running(source, sink):

            async def heard() -> bool:
                await client.publish("solar/114182940773/0/power", b"312.4", qos=1)
                await client.publish("other/topic", b"x", qos=1)
                return len(sink.messages) > 1

            await until(heard, period_s=0.2)
    copy, live = sink.messages[:2]
    assert {message.topic for message in sink.messages} == {"solar/114182940773/0/power"}
    assert [(message.payload, message.retained) for message in (copy, live)] == [(b"111", True), (b"312.4", False)]
    assert decode_raw("opendtu", copy) == []
    (decoded,) = decode_raw("opendtu", live)
    assert decoded.sample.v == {"pv_power_w": 312.4}


async def test_a_venus_is_kept_awake_by_the_id_that_its_own_messages_carry(house: HouseBroker, tmp_path: Path) -> None:
    sink = Kept()
    async with talking(house) as venus:
        await venus.subscribe("R/#")
        source = make_input(house.settings("N/#", victron_portal="auto"), profile="victron-gx", state_folder=tmp_path)
        async with running(source, sink):

            async def hello() -> bool:
                await venus.publish("N/c0619ab1d2e3/system/0/Serial", b'{"value": "c0619ab1d2e3"}', qos=1)
                return bool(sink.messages)

            await until(hello, period_s=0.2)
            message = await asyncio.wait_for(anext(aiter(venus.messages)), 60)
            assert str(message.topic) == "R/c0619ab1d2e3/keepalive"


async def test_a_sparkplug_node_whose_birth_was_missed_is_asked_for_another_one(house: HouseBroker, tmp_path: Path) -> None:
    sink = Kept()
    async with talking(house) as node:
        await node.subscribe("spBv1.0/plant/NCMD/roof")
        source = make_input(house.settings("spBv1.0/#"), profile="gateway", state_folder=tmp_path)
        async with running(source, sink):

            async def data() -> bool:
                await node.publish("spBv1.0/plant/DDATA/roof/inv1", payload(Metric(1.0, alias=1), seq=3), qos=1)
                return bool(sink.messages)

            await until(data, period_s=0.2)
            asked = await asyncio.wait_for(anext(aiter(node.messages)), 60)
            assert b"Node Control/Rebirth" in bytes(asked.payload)


async def test_what_was_heard_is_handed_on_when_the_broker_vanishes(house: HouseBroker, tmp_path: Path) -> None:
    sink = Kept()
    async with talking(house) as client:
        await client.subscribe("R/#")
        source = make_input(house.settings("N/#", victron_portal="venus1"), profile="gateway", state_folder=tmp_path)
        async with running(source, sink) as reading:
            await asyncio.wait_for(anext(aiter(client.messages)), 60)  # its keep-alive: it has subscribed
            await client.publish("N/venus1/grid/40/Ac/Power", b'{"value": 5}', qos=1)
            house.process.terminate()
            with pytest.raises(Unavailable) as found:
                await asyncio.wait_for(reading, 60)
    assert found.value.code == "local_broker_away"
    assert [message.payload for message in sink.messages] == [b'{"value": 5}']


async def test_a_broker_that_refuses_is_an_error(house: HouseBroker, tmp_path: Path) -> None:
    async with talking(house):
        pass
    wrong = tmp_path / "wrong"
    wrong.write_text("house:guess\n")
    refused = MqttSettings(host=LOOPBACK, port=house.port, topics=("#",), password_file=str(wrong))
    with pytest.raises(Unavailable) as found:
        await make_input(refused, profile="gateway", state_folder=tmp_path).run(Kept())
    assert found.value.code == "local_broker_away"
    wrong.write_text("no colon\n")
    with pytest.raises(FleetError) as unread:
        await make_input(refused, profile="gateway", state_folder=tmp_path).run(Kept())
    assert unread.value.code == "bad_password_file"
