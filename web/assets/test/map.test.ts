import { describe, expect, it } from "vitest";
import { outlines } from "../france-map";
import {
  fitted,
  moved,
  onScreen,
  placeAt,
  project,
  rounded,
  unproject,
  type View,
  zoomed,
} from "../src/map/projection";
import { REGIONS, regionAt, regionOfPostcode } from "../src/map/regions";
import { departmentOfPostcode, seatOfPostcode, TOWNS } from "../src/map/towns";

const VALENCE = { longitude: 4.892, latitude: 44.933 };
const [WIDTH, HEIGHT] = [320, 300];

describe("the projection", () => {
  it("comes back to where it started", () => {
    for (const town of TOWNS) {
      const back = unproject(project(town));
      expect(back.latitude).toBeCloseTo(town.latitude, 9);
      expect(back.longitude).toBeCloseTo(town.longitude, 9);
    }
  });

  it("puts north up and east to the right", () => {
    const [lille, nice] = ["Lille", "Nice"].map((name) => project(TOWNS.find((town) => town.name === name) as never));
    expect(lille?.y).toBeLessThan(nice?.y as number);
    expect(lille?.x).toBeLessThan(nice?.x as number);
  });
});

describe("a tap", () => {
  const view: View = { centre: project(VALENCE), worldPx: 60_000 };

  it("in the middle is the place in the middle", () => {
    expect(rounded(placeAt({ x: WIDTH / 2, y: HEIGHT / 2 }, view, WIDTH, HEIGHT))).toEqual(VALENCE);
  });

  it("on a place that is drawn is that place", () => {
    const pixel = onScreen(project({ longitude: 5.041, latitude: 44.9 }), view, WIDTH, HEIGHT);
    expect(rounded(placeAt(pixel, view, WIDTH, HEIGHT))).toEqual({ longitude: 5.041, latitude: 44.9 });
  });

  it("hits the same place after zooming there", () => {
    const pixel = { x: 40, y: 200 };
    const before = placeAt(pixel, view, WIDTH, HEIGHT);
    const after = placeAt(pixel, zoomed(view, 2.5, pixel, WIDTH, HEIGHT), WIDTH, HEIGHT);
    expect(after.latitude).toBeCloseTo(before.latitude, 9);
    expect(after.longitude).toBeCloseTo(before.longitude, 9);
  });

  it("follows the land when that is dragged", () => {
    const place = placeAt({ x: 100, y: 100 }, view, WIDTH, HEIGHT);
    expect(placeAt({ x: 130, y: 80 }, moved(view, 30, -20), WIDTH, HEIGHT).latitude).toBeCloseTo(place.latitude, 9);
  });

  it("cannot be zoomed away", () => {
    let near = view;
    for (let i = 0; i < 50; i += 1) near = zoomed(near, 2, { x: 0, y: 0 }, WIDTH, HEIGHT);
    expect(near.worldPx).toBe(1_000_000);
    for (let i = 0; i < 50; i += 1) near = zoomed(near, 0.5, { x: 0, y: 0 }, WIDTH, HEIGHT);
    expect(near.worldPx).toBe(1_500);
  });
});

describe("the regions", () => {
  it("fit into the map whole", () => {
    for (const region of REGIONS) {
      const view = fitted(region, WIDTH, HEIGHT);
      const corner = onScreen(project({ longitude: region.west, latitude: region.north }), view, WIDTH, HEIGHT);
      expect(Math.min(corner.x, corner.y)).toBeGreaterThanOrEqual(-1e-6);
    }
  });

  it("hold every town, overseas ones in their own", () => {
    for (const town of TOWNS) {
      const overseas = town.department.length === 3 ? town.department : "";
      expect(regionAt(town.longitude, town.latitude)?.code, town.name).toBe(overseas);
    }
  });

  it("know their clock", () => {
    expect(regionAt(55.5, -21.1)?.timezone).toBe("Indian/Reunion");
    expect(regionAt(2.35, 48.86)?.timezone).toBe("Europe/Paris");
    expect(regionAt(0, 0)).toBeUndefined();
    expect(regionOfPostcode("97410").name).toBe("La Réunion");
    expect(regionOfPostcode("26000").code).toBe("");
  });
});

describe("postcodes", () => {
  it("lead to the seat of their department", () => {
    expect(seatOfPostcode("26200")?.name).toBe("Valence");
    expect(seatOfPostcode("20090")?.name).toBe("Ajaccio");
    expect(seatOfPostcode("20200")?.name).toBe("Bastia");
    expect(seatOfPostcode("97300")?.name).toBe("Cayenne");
    expect(seatOfPostcode("")).toBeUndefined();
  });

  it("name every department once", () => {
    const seats = new Set(TOWNS.slice(0, 101).map((town) => town.department));
    expect(seats.size).toBe(101);
    expect(departmentOfPostcode("01000")).toBe("01");
  });
});

describe("the outlines", () => {
  const made = outlines();

  it("hold the mainland, Corsica and all five departments overseas", () => {
    const starts = made.france.map((steps) => ({
      longitude: (steps[0] as number) * made.stepDeg,
      latitude: (steps[1] as number) * made.stepDeg,
    }));
    const codes = new Set(starts.map(({ longitude, latitude }) => regionAt(longitude, latitude)?.code));
    expect([...codes].sort()).toEqual(["", "971", "972", "973", "974", "976"]);
  });

  it("stay small and inside the regions", () => {
    let [east, north] = [0, 0];
    for (const steps of [...made.france, ...made.others]) {
      let [x, y] = [0, 0];
      for (let index = 0; index < steps.length; index += 2) {
        x += steps[index] as number;
        y += steps[index + 1] as number;
        east = Math.max(east, Math.abs(x * made.stepDeg));
        north = Math.max(north, Math.abs(y * made.stepDeg));
      }
    }
    expect(east).toBeLessThan(64);
    expect(north).toBeLessThan(55);
    expect(JSON.stringify(made).length).toBeLessThan(250_000);
  });
});
