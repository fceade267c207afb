import { describe, expect, it } from "vitest";
import { energy, percent, power, spoken } from "../src/format";
import figures from "./figures.json";

type Case = [number | null, string, string];

describe("figures read the same in pages and islands", () => {
  it.each(figures.power as Case[])("power %s W", (value, fr, en) => {
    expect(spoken(power(value, "fr-FR"))).toBe(fr);
    expect(spoken(power(value, "en-GB"))).toBe(en);
  });

  it.each(figures.energy as Case[])("energy %s Wh", (value, fr, en) => {
    expect(spoken(energy(value, "fr-FR"))).toBe(fr);
    expect(spoken(energy(value, "en-GB"))).toBe(en);
  });

  it.each(figures.percent as Case[])("share %s", (value, fr, en) => {
    expect(percent(value, "fr-FR")).toBe(fr);
    expect(percent(value, "en-GB")).toBe(en);
  });

  it("says nothing of what is not a number", () => {
    expect(spoken(power(Number.NaN, "fr-FR"))).toBe("—");
  });
});
