"""Topics: building and parsing are inverse, and nothing else passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import topics
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId
from fleet.placement import slot_of
from fleet.topics import Topic

IDS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True).filter(lambda text: not text.startswith("sp-"))
CHANNELS = st.sampled_from(["up/telemetry", "up/state", "down/ack", "up/raw/status/em:0", "up/raw/tele/plug 1/SENSOR"])


@given(st.builds(Topic, st.integers(0, 255), IDS.map(SiteId), IDS.map(DeviceId), CHANNELS))
def test_parse_undoes_build(topic: Topic) -> None:
    assert topics.parse(topics.build(topic)) == topic


@given(IDS.map(SiteId), IDS.map(DeviceId))
def test_what_a_device_writes_parses_to_its_own_slot_site_and_device(site: SiteId, device: DeviceId) -> None:
    for text in topics.up(site, device):
        topic = topics.parse(text)
        assert (topic.slot, topic.site, topic.device) == (slot_of(site), site, device)


@given(IDS.map(SiteId))
def test_a_live_topic_names_its_site(site: SiteId) -> None:
    assert topics.live_site(topics.live(site)) == site


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sp/v1/00/s/d",
        "sp/v2/00/s/d/up/state",
        "sp/v1/0g/s/d/up/state",
        "sp/v1/00/S/d/up/state",
        "sp/v1/00/s/../up/state",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        topics.parse(text)
