import { describe, expect, it } from "vitest";
import { type Draft, forget, keep, kept, pauseBefore, type Store, send, tidied } from "../src/keeping";

const NOW = 1_800_000_000_000;
const DAY_MS = 86_400_000;

class Memory implements Store {
  private readonly items = new Map<string, string>();
  get length(): number {
    return this.items.size;
  }
  key(index: number): string | null {
    return [...this.items.keys()][index] ?? null;
  }
  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
  removeItem(key: string): void {
    this.items.delete(key);
  }
}

function draft(changes: Partial<Draft> = {}): Draft {
  return {
    person: "ines",
    action: "/sites/new",
    page: "/sites/new",
    title: "Nouveau site",
    fields: [
      ["name", "Mairie"],
      ["request_id", "r-1"],
    ],
    savedAt: NOW,
    waiting: false,
    ...changes,
  };
}

describe("a draft", () => {
  it("comes back as it was, until it is forgotten", () => {
    const store = new Memory();
    keep(store, "site", draft());
    expect(kept(store, "site", "ines", NOW + DAY_MS)).toEqual(draft());
    forget(store, "site");
    expect(kept(store, "site", "ines", NOW)).toBeUndefined();
  });

  it("is nobody else's, and not of last month", () => {
    const store = new Memory();
    keep(store, "site", draft());
    expect(kept(store, "site", "otto", NOW)).toBeUndefined();
    expect(kept(store, "site", "ines", NOW + 8 * DAY_MS)).toBeUndefined();
  });

  it("that cannot be read is none", () => {
    const store = new Memory();
    store.setItem("sp.form.site", "{");
    expect(kept(store, "site", "ines", NOW)).toBeUndefined();
    store.setItem("sp.form.site", "{}");
    expect(kept(store, "site", "ines", NOW)).toBeUndefined();
  });

  it("does not stop the form when the store is full", () => {
    const full = new Memory();
    full.setItem = () => {
      throw new Error("quota exceeded");
    };
    expect(() => keep(full, "site", draft())).not.toThrow();
  });
});

describe("what waits", () => {
  it("leaves in its order, without drafts, strangers and leftovers", () => {
    const store = new Memory();
    store.setItem("unrelated", "x");
    keep(store, "later", draft({ waiting: true, savedAt: NOW - 1 }));
    keep(store, "first", draft({ waiting: true, savedAt: NOW - 2 }));
    keep(store, "draft", draft());
    keep(store, "foreign", draft({ person: "otto", waiting: true }));
    keep(store, "old", draft({ waiting: true, savedAt: NOW - 30 * DAY_MS }));
    expect(tidied(store, "ines", NOW).map(([name]) => name)).toEqual(["first", "later"]);
    expect(store.getItem("sp.form.foreign")).toBeNull();
    expect(store.getItem("sp.form.old")).toBeNull();
    expect(store.getItem("sp.form.draft")).not.toBeNull();
    expect(store.getItem("unrelated")).toBe("x");
  });

  it("is tried less and less often, but for ever", () => {
    const pauses = Array.from({ length: 10 }, (_, attempt) => pauseBefore(attempt));
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
    expect(pauses.at(-1)).toBe(pauses.at(-2));
  });
});

describe("sending", () => {
  const answering = (status: number, url = "", text = ""): typeof fetch =>
    (() => Promise.resolve({ ok: status < 400, status, redirected: url !== "", url, text: async () => text })) as never;

  it("is done when the server leads on", async () => {
    expect(await send("/sites/new", [], answering(200, "/sites/x"))).toEqual({ kind: "done", url: "/sites/x" });
  });

  it("keeps waiting without a network, and while the server is away", async () => {
    const cut = (() => Promise.reject(new TypeError("Failed to fetch"))) as never;
    expect(await send("/sites/new", [], cut)).toEqual({ kind: "offline" });
    expect(await send("/sites/new", [], answering(503))).toEqual({ kind: "offline" });
  });

  it("tells a refusal from being signed out", async () => {
    expect(await send("/sites/new", [], answering(422, "", "<main>"))).toEqual({ kind: "refused", html: "<main>" });
    expect(await send("/sites/new", [], answering(401))).toEqual({ kind: "signed_out" });
  });

  it("sends the same request id every time", async () => {
    const bodies: string[] = [];
    const listening = ((_: string, request: RequestInit) => {
      bodies.push(String(request.body));
      return Promise.reject(new TypeError("Failed to fetch"));
    }) as never;
    await send("/sites/new", draft().fields, listening);
    await send("/sites/new", draft().fields, listening);
    expect(bodies).toEqual(["name=Mairie&request_id=r-1", "name=Mairie&request_id=r-1"]);
  });
});
