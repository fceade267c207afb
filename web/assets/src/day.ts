/** A local day as a curve: quarter-hours in W, what was measured apart from what was estimated, clock labels for 23 to 25 hours. */

const QUARTER_MS = 900_000;
const QUARTERS_PER_HOUR = 4;

export const MISSING = 0;
export const MEASURED = 1;
export const ESTIMATED = 2; // 3 = corrected: the counter jumped, its energy is known

/** As the server writes it: energies in Wh per quarter-hour, null where nothing is known. */
export interface DaySeries {
  zone: string;
  start_ms: number;
  pv: (number | null)[];
  import: (number | null)[];
  export: (number | null)[];
  charge: (number | null)[];
  discharge: (number | null)[];
  quality: number[];
}

export interface Curve {
  /** Mean W where the quarter was measured or corrected, null elsewhere. */
  measured: (number | null)[];
  /** Mean W where the quarter was estimated, with the measured neighbours that its line starts and ends at. */
  estimated: (number | null)[];
}

export type CurveName = "pv" | "load" | "import" | "export" | "charge" | "discharge";

/** Consumption in Wh per quarter: what came in minus what went out; null where production or import is unknown. */
export function loadWh(day: DaySeries): (number | null)[] {
  return day.pv.map((pv, i) => {
    const imported = day.import[i] ?? null;
    if (pv === null || imported === null) return null;
    return pv + imported + (day.discharge[i] ?? 0) - (day.export[i] ?? 0) - (day.charge[i] ?? 0);
  });
}

export function curve(energiesWh: (number | null)[], quality: number[]): Curve {
  const watts = energiesWh.map((wh) => (wh === null ? null : wh * QUARTERS_PER_HOUR));
  const isEstimated = (i: number): boolean => quality[i] === ESTIMATED;
  const isKnown = (i: number): boolean => (quality[i] ?? MISSING) !== MISSING;
  const measured = watts.map((w, i) => (isKnown(i) && !isEstimated(i) ? w : null));
  const estimated = watts.map((w, i) => {
    if (isEstimated(i)) return w;
    const joins = isKnown(i) && (isEstimated(i - 1) || isEstimated(i + 1));
    return joins ? w : null;
  });
  return { measured, estimated };
}

export function curves(day: DaySeries): Record<CurveName, Curve> {
  const { quality } = day;
  return {
    pv: curve(day.pv, quality),
    load: curve(loadWh(day), quality),
    import: curve(day.import, quality),
    export: curve(day.export, quality),
    charge: curve(day.charge, quality),
    discharge: curve(day.discharge, quality),
  };
}

/** The site's clock at the start of quarter i, such as "14:15": on the days of the clock change 02:00 is missing or twice there. */
export function clock(day: DaySeries, i: number, locale: string): string {
  return formatterOf(day.zone, locale).format(day.start_ms + i * QUARTER_MS);
}

/** Quarters that carry a label: full hours of the site's clock that `everyHours` divides. */
export function isTick(day: DaySeries, i: number, everyHours: number): boolean {
  const [hour, minute] = clock(day, i, "fr-FR").split(":").map(Number);
  if (minute !== 0 || hour === undefined || hour % everyHours !== 0) return false;
  return i === 0 || clock(day, i - QUARTERS_PER_HOUR, "fr-FR") !== clock(day, i, "fr-FR"); // the hour's second round is not labelled
}

/** Whether the chart has anything to draw. */
export function isEmpty(day: DaySeries): boolean {
  return day.quality.every((quality) => quality === MISSING);
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(zone: string, locale: string): Intl.DateTimeFormat {
  const key = `${zone} ${locale}`;
  let formatter = formatters.get(key);
  if (formatter === undefined) {
    formatter = new Intl.DateTimeFormat(locale, {
      timeZone: zone,
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
    formatters.set(key, formatter);
  }
  return formatter;
}
