import { describe, expect, it } from "vitest";
import { caretAfter, digits, grouped, PDL_GROUPS } from "../src/grouping";

describe("groups", () => {
  it("split a meter's number as it stands on the meter", () => {
    expect(grouped("12345678901234", PDL_GROUPS)).toBe("12 345 678 901 234");
    expect(grouped("1234", PDL_GROUPS)).toBe("12 34");
    expect(grouped("", PDL_GROUPS)).toBe("");
  });

  it("lose nothing of what is too long", () => {
    expect(digits(grouped("123456789012345678", PDL_GROUPS))).toBe("123456789012345678");
  });

  it("take what was typed in any other way", () => {
    expect(digits(" 12.345-678 901/234 ")).toBe("12345678901234");
  });

  it("leave the caret behind the same digit", () => {
    expect(caretAfter("12 345 678", 2)).toBe(2);
    expect(caretAfter("12 345 678", 3)).toBe(4);
    expect(caretAfter("12 345 678", 8)).toBe(10);
    expect(caretAfter("12 345 678", 0)).toBe(0);
  });
});
