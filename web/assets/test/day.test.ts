import { describe, expect, it } from "vitest";
import { clock, curve, type DaySeries, isTick, withoutRest } from "../src/day";

const PARIS = "Europe/Paris";

function day(start: string, quarters: number): DaySeries {
  const zeros = Array<number | null>(quarters).fill(0);
  return {
    zone: PARIS,
    start_ms: Date.parse(start),
    pv: zeros,
    import: zeros,
    export: zeros,
    charge: zeros,
    discharge: zeros,
    load: zeros,
    quality: Array<number>(quarters).fill(1),
  };
}

function labels(of: DaySeries, everyHours: number): string[] {
  return of.quality.flatMap((_, i) => (isTick(of, i, everyHours) ? [clock(of, i, "fr-FR")] : []));
}

describe("the site's clock", () => {
  it("labels a plain day every three hours", () => {
    const plain = day("2026-06-20T22:00:00Z", 96);
    expect(labels(plain, 3)).toEqual(["00:00", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]);
  });

  it("leaves out the hour that spring takes", () => {
    const spring = day("2026-03-28T23:00:00Z", 92);
    expect(clock(spring, 7, "fr-FR")).toBe("01:45");
    expect(clock(spring, 8, "fr-FR")).toBe("03:00");
    expect(clock(spring, 91, "fr-FR")).toBe("23:45");
    expect(labels(spring, 1)).toHaveLength(23);
  });

  it("goes twice through the hour that autumn gives", () => {
    const autumn = day("2026-10-24T22:00:00Z", 100);
    expect(clock(autumn, 8, "fr-FR")).toBe("02:00");
    expect(clock(autumn, 12, "fr-FR")).toBe("02:00");
    expect(clock(autumn, 99, "fr-FR")).toBe("23:45");
    expect(labels(autumn, 2)).toEqual([
      "00:00",
      "02:00",
      "04:00",
      "06:00",
      "08:00",
      "10:00",
      "12:00",
      "14:00",
      "16:00",
      "18:00",
      "20:00",
      "22:00",
    ]);
  });
});

describe("curves", () => {
  it("turns energies into mean power", () => {
    expect(curve([250, 500], [1, 1]).measured).toEqual([1000, 2000]);
  });

  it("keeps estimated quarters apart, joined to their measured neighbours", () => {
    const { measured, estimated } = curve([10, 20, 30, 40], [1, 2, 2, 1]);
    expect(measured).toEqual([40, null, null, 160]);
    expect(estimated).toEqual([40, 80, 120, 160]);
  });

  it("leaves holes where nothing is known", () => {
    const { measured, estimated } = curve([10, null, 30], [1, 0, 1]);
    expect(measured).toEqual([40, null, 120]);
    expect(estimated).toEqual([null, null, null]);
  });

  it("keep what is known of an incomplete quarter", () => {
    expect(curve([10, 20], [0, 1]).measured).toEqual([40, 80]);
  });

  it("counts a corrected quarter as known", () => {
    expect(curve([10], [3]).measured).toEqual([40]);
  });

  it("draws no line along zero, yet starts and ends there", () => {
    expect(withoutRest([0, 0, 0, 500, 0, 0, null])).toEqual([null, null, 0, 500, 0, null, null]);
  });
});
