import { describe, expect, it } from "vitest";
import { age, newestSampleAge } from "../src/age";
import { dotPace, LINK_MIN_W, LINKS, type PowerFlow, splitFlow } from "../src/flow";
import { type SiteLive, signature } from "../src/live";

function flow(values: Partial<PowerFlow>): PowerFlow {
  return {
    pv_power_w: null,
    grid_power_w: null,
    battery_power_w: null,
    load_power_w: null,
    battery_soc_pct: null,
    ...values,
  };
}

describe("age of a value", () => {
  it.each([
    [4_000, "age_s", 4, false],
    [119_000, "age_min", 2, false],
    [121_000, "age_min", 2, true],
    [3 * 3_600_000, "age_h", 3, true],
    [3 * 86_400_000, "age_d", 3, true],
    [-2_000, "age_s", 0, false],
  ])("%s ms", (ms, key, count, stale) => {
    expect(age(ms)).toEqual({ key, count, stale });
  });

  it("of nothing is unknown and stale", () => {
    expect(age(null)).toEqual({ key: "age_unknown", count: 0, stale: true });
    expect(newestSampleAge(1_000, [null])).toBeNull();
  });

  it("is that of the newest sample", () => {
    expect(newestSampleAge(10_000, [1_000, null, 8_000])).toBe(2_000);
  });
});

describe("where power goes", () => {
  it("solar feeds house, battery, grid in this order", () => {
    const links = splitFlow(
      flow({ pv_power_w: 5_000, load_power_w: 1_000, battery_power_w: 1_500, grid_power_w: -2_500 }),
    );
    expect(links).toMatchObject({ "pv-load": 1_000, "pv-battery": 1_500, "pv-grid": 2_500, "grid-load": 0 });
  });

  it("at night the battery feeds the house and the grid gives the rest", () => {
    const links = splitFlow(flow({ pv_power_w: 0, load_power_w: 900, battery_power_w: -600, grid_power_w: 300 }));
    expect(links).toMatchObject({ "battery-load": 600, "grid-load": 300, "pv-load": 0 });
  });

  it("a battery charged from the grid is not called solar", () => {
    const links = splitFlow(flow({ pv_power_w: 0, load_power_w: 400, battery_power_w: 2_000, grid_power_w: 2_400 }));
    expect(links).toMatchObject({ "grid-battery": 2_000, "grid-load": 400, "pv-battery": 0 });
  });

  it("a battery that sells goes to the grid", () => {
    const links = splitFlow(flow({ pv_power_w: 0, load_power_w: 500, battery_power_w: -3_000, grid_power_w: -2_500 }));
    expect(links).toMatchObject({ "battery-load": 500, "battery-grid": 2_500 });
  });

  it("never runs backwards, whatever the meters say", () => {
    const links = splitFlow(flow({ pv_power_w: -30, load_power_w: -10, battery_power_w: -900, grid_power_w: 100 }));
    for (const link of LINKS) expect(links[link]).toBeGreaterThanOrEqual(0);
  });

  it("dots rest below the meters' trembling and run faster with more power", () => {
    expect(dotPace(LINK_MIN_W - 1)).toBe(0);
    expect(dotPace(2_000)).toBeGreaterThan(dotPace(1_000));
    expect(dotPace(1e9)).toBe(8);
  });
});

describe("what makes lists stale", () => {
  const health = { status: "ok", since: 1, reason: "reporting" };
  const live: SiteLive = {
    site: "a",
    at: 1,
    flow: {},
    health,
    devices: [{ device: "d", health, sample_at: 1 }],
    alerts: [],
  };

  it("not new values", () => {
    expect(signature({ ...live, at: 2, flow: { pv_power_w: 5 } })).toBe(signature(live));
  });

  it("a new, an acknowledged and a resolved alert", () => {
    const raised = { ...live, alerts: [{ id: "x" }] };
    const acked = { ...live, alerts: [{ id: "x", acked_at: 5 }] };
    expect(new Set([signature(live), signature(raised), signature(acked)]).size).toBe(3);
  });
});
