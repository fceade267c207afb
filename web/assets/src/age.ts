/** How old a value is, in words, and when that is too old to be called live. */

/** Devices report every few seconds; two minutes of silence is more than a lost packet. */
export const STALE_AFTER_S = 120;

export interface Age {
  key: "age_unknown" | "age_s" | "age_min" | "age_h" | "age_d";
  count: number;
  stale: boolean;
}

/** ageMs: null = there never was a value. */
export function age(ageMs: number | null): Age {
  if (ageMs === null) return { key: "age_unknown", count: 0, stale: true };
  const seconds = Math.max(0, Math.round(ageMs / 1_000)); // a clock that runs ahead is not the reader's concern
  const stale = seconds > STALE_AFTER_S;
  if (seconds < 90) return { key: "age_s", count: seconds, stale };
  if (seconds < 90 * 60) return { key: "age_min", count: Math.round(seconds / 60), stale };
  if (seconds < 48 * 3_600) return { key: "age_h", count: Math.round(seconds / 3_600), stale };
  return { key: "age_d", count: Math.round(seconds / 86_400), stale };
}

/** The newest sample's age when the server wrote the message, in ms; null if no device ever reported. */
export function newestSampleAge(at: number, sampleTimes: (number | null)[]): number | null {
  const known = sampleTimes.filter((time) => time !== null);
  return known.length === 0 ? null : at - Math.max(...known);
}
