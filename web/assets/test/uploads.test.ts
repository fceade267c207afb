import { describe, expect, it } from "vitest";
import { address, outcome, share } from "../src/uploads";

describe("the answer to a file", () => {
  it("names the file that was taken", () => {
    expect(outcome(202, '{"id":"f1","state":"received"}')).toEqual({ kind: "done", id: "f1" });
  });

  it("is worth another try when the network or the server was at fault", () => {
    for (const status of [0, 408, 429, 500, 502, 503]) {
      expect(outcome(status, "<html>")).toEqual({ kind: "cut" });
    }
  });

  it("is final when the file or the platform's set-up is", () => {
    expect(outcome(422, '{"code":"empty_upload","detail":"vide"}')).toEqual({ kind: "refused", detail: "vide" });
    expect(outcome(503, '{"code":"no_intake","detail":"non"}')).toEqual({ kind: "refused", detail: "non" });
    expect(outcome(413, "")).toEqual({ kind: "refused", detail: "" });
    expect(outcome(202, "null")).toEqual({ kind: "refused", detail: "" });
  });

  it("asks for a new sign-in", () => {
    expect(outcome(401, "{}")).toEqual({ kind: "signed_out" });
  });
});

describe("where a file goes", () => {
  it("keeps odd names whole", () => {
    expect(address("site-1", "a&b=c #é.csv", "")).toBe("/api/v1/sites/site-1/imports?name=a%26b%3Dc+%23%C3%A9.csv");
    expect(address("s", "x", "met-1")).toBe("/api/v1/sites/s/imports?name=x&device=met-1");
  });
});

it("an empty file is sent at once", () => {
  expect(share(0, 0)).toBe(1);
  expect(share(5, 4)).toBe(1);
  expect(share(1, 4)).toBe(0.25);
});
