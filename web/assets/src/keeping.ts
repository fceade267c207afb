/** What somebody typed and what has not been sent yet, kept in this browser: a form outlives reloads and dead zones. */

export interface Draft {
  /** Whose it is: another person who signs in here never sees it. */
  person: string;
  /** Address that it is posted to. */
  action: string;
  /** The page that it is filled in on. */
  page: string;
  /** What a list of waiting forms calls it. */
  title: string;
  fields: [string, string][];
  savedAt: number;
  /** Sending it was asked for; it leaves as soon as there is a network. */
  waiting: boolean;
}

export type Store = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

const PREFIX = "sp.form.";
const KEEP_MS = 7 * 86_400_000; // a form of last week is not gone on with

export function keep(store: Store, name: string, draft: Draft): void {
  try {
    store.setItem(PREFIX + name, JSON.stringify(draft));
  } catch {
    // A full or forbidden store: the form itself still works.
  }
}

export function kept(store: Store, name: string, person: string, now: number): Draft | undefined {
  const draft = read(store.getItem(PREFIX + name));
  if (draft === undefined || draft.person !== person) return undefined;
  return now - draft.savedAt <= KEEP_MS ? draft : undefined;
}

export function forget(store: Store, name: string): void {
  store.removeItem(PREFIX + name);
}

/** Drops what belongs to others and what is too old; returns what waits to be sent, the oldest first. */
export function tidied(store: Store, person: string, now: number): [string, Draft][] {
  const names = Array.from({ length: store.length }, (_, index) => store.key(index))
    .filter((key): key is string => key?.startsWith(PREFIX) ?? false)
    .map((key) => key.slice(PREFIX.length));
  const waiting: [string, Draft][] = [];
  for (const name of names) {
    const draft = kept(store, name, person, now);
    if (draft === undefined) forget(store, name);
    else if (draft.waiting) waiting.push([name, draft]);
  }
  return waiting.sort(([, a], [, b]) => a.savedAt - b.savedAt);
}

function read(text: string | null): Draft | undefined {
  if (text === null) return undefined;
  try {
    const draft = JSON.parse(text) as Draft;
    return Array.isArray(draft.fields) ? draft : undefined;
  } catch {
    return undefined;
  }
}

/** Pauses between tries while the network is away; the last one repeats. */
const RETRY_MS = [3_000, 8_000, 20_000, 60_000];

export function pauseBefore(attempt: number): number {
  return RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 60_000;
}

export type Outcome =
  | { kind: "done"; url: string }
  | { kind: "refused"; html: string }
  | { kind: "signed_out" }
  | { kind: "offline" };

/** What became of a form that was sent. A server that is being restarted counts as no network: it comes back. */
export async function send(action: string, fields: [string, string][], ask: typeof fetch): Promise<Outcome> {
  let answer: Response;
  try {
    answer = await ask(action, {
      method: "POST",
      body: new URLSearchParams(fields),
      headers: { "HX-Request": "true" }, // a signed-out reader gets 401 instead of the log-in page
    });
  } catch {
    return { kind: "offline" };
  }
  if (answer.status === 401) return { kind: "signed_out" };
  if (answer.status === 502 || answer.status === 503 || answer.status === 504) return { kind: "offline" };
  if (answer.ok && answer.redirected) return { kind: "done", url: answer.url };
  return { kind: "refused", html: await answer.text() };
}
