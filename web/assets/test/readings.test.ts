import { describe, expect, it } from "vitest";
import type { Palette } from "../src/chart/palette";
import { type ReadingSeries, readingOptions, tip } from "../src/chart/reading-options";

const SERIES: ReadingSeries = {
  labels: ["10:00", "10:05"],
  curves: [
    { name: "Production", unit: "W", values: [1_500, null] },
    { name: "Tension", unit: "V", values: [230.5, 231] },
    { name: "Réseau", unit: "W", values: [-1_500, 0] },
    { name: "Facteur", unit: "", values: [1, 0.98] },
  ],
};
const COLOURS = new Proxy({}, { get: (_, name) => String(name) }) as Palette;

interface Drawn {
  yAxis: { name: string; show: boolean }[];
  series: { name: string; yAxisIndex: number }[];
}

describe("readings of a file", () => {
  it("share an axis when they share a unit", () => {
    const drawn = readingOptions(SERIES, COLOURS, "fr-FR", new Set()) as unknown as Drawn;
    expect(drawn.yAxis.map((axis) => axis.name)).toEqual(["W", "V", ""]);
    expect(drawn.yAxis.map((axis) => axis.show)).toEqual([true, true, false]);
    expect(drawn.series.map((line) => line.yAxisIndex)).toEqual([0, 1, 0, 2]);
  });

  it("are switched off by their names", () => {
    const drawn = readingOptions(SERIES, COLOURS, "fr-FR", new Set(["reading Tension"])) as unknown as Drawn;
    expect(drawn.series.map((line) => line.name)).toEqual(["Production", "Réseau", "Facteur"]);
  });

  it("say what is missing", () => {
    const numbers = new Intl.NumberFormat("en-GB");
    expect(tip(SERIES.labels, SERIES.curves, 1, numbers)).toBe(
      "10:05\nProduction  —\nTension  231\u00a0V\nRéseau  0\u00a0W\nFacteur  0.98",
    );
  });
});
