/** A local day as a curve: quarter-hours in W, what was measured apart from what was estimated, clock labels for 23 to 25 hours. */

const QUARTER_MS = 900_000;
const QUARTERS_PER_HOUR = 4;

/** Of 0 = something is missing, 1 = measured, 2 = estimated, 3 = corrected (the counter jumped, its energy is known). */
const ESTIMATED = 2;

/** As the server writes it: energies in Wh per quarter-hour, null where nothing is known. */
export interface DaySeries {
  zone: string;
  start_ms: number;
  quality: number[];
  load: Values;
  /** null: the site has no such counter. */
  pv: Values | null;
  import: Values | null;
  export: Values | null;
  charge: Values | null;
  discharge: Values | null;
}

export type Values = (number | null)[];

export interface Curve {
  /** Mean W where the quarter was measured or corrected, null elsewhere. */
  measured: Values;
  /** Mean W where the quarter was estimated, with the measured neighbours that its line starts and ends at. */
  estimated: Values;
}

export type CurveName = "pv" | "load" | "import" | "export" | "charge" | "discharge";

export function curve(energiesWh: Values, quality: number[]): Curve {
  const watts = energiesWh.map((wh) => (wh === null ? null : wh * QUARTERS_PER_HOUR));
  const isEstimated = (i: number): boolean => quality[i] === ESTIMATED;
  const measured = watts.map((w, i) => (isEstimated(i) ? null : w)); // what is known of an incomplete quarter still stands
  const estimated = watts.map((w, i) => {
    if (isEstimated(i)) return w;
    return isEstimated(i - 1) || isEstimated(i + 1) ? w : null;
  });
  return { measured, estimated };
}

const REST_W = 1;

/** Zeros whose neighbours are zeros as well become nothing; a curve still starts and ends at zero. */
export function withoutRest(watts: Values): Values {
  const rests = (w: number | null | undefined): boolean => w === null || w === undefined || Math.abs(w) < REST_W;
  return watts.map((w, i) => (rests(w) && rests(watts[i - 1]) && rests(watts[i + 1]) ? null : w));
}

export function curves(day: DaySeries): Record<CurveName, Curve> {
  const { quality } = day;
  return {
    pv: curve(day.pv ?? [], quality),
    load: curve(day.load, quality),
    import: curve(day.import ?? [], quality),
    export: curve(day.export ?? [], quality),
    charge: curve(day.charge ?? [], quality),
    discharge: curve(day.discharge ?? [], quality),
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
