/** Figures as people read them. The same rules stand in web/pages/figures.py; test/figures.json holds both to them. */

const NO_VALUE = "—";
const SPACE = "\u00a0"; // a figure and its unit stay on one line

export interface Figure {
  text: string;
  unit: string;
}

/** Power in W, kW or MW: three digits that matter, never more than two after the comma. */
export function power(powerW: number | null | undefined, locale: string): Figure {
  if (powerW === null || powerW === undefined || !Number.isFinite(powerW)) return { text: NO_VALUE, unit: "" };
  const size = Math.abs(Math.round(powerW));
  if (size < 1_000) return { text: decimal(Math.round(powerW), 0, locale), unit: "W" };
  if (size < 1_000_000) return { text: decimal(powerW / 1_000, size < 10_000 ? 2 : 1, locale), unit: "kW" };
  return { text: decimal(powerW / 1_000_000, size < 10_000_000 ? 2 : 1, locale), unit: "MW" };
}

/** Energy in kWh, from 100 MWh on in MWh. */
export function energy(energyWh: number | null | undefined, locale: string): Figure {
  if (energyWh === null || energyWh === undefined || !Number.isFinite(energyWh)) return { text: NO_VALUE, unit: "" };
  const size = Math.abs(energyWh);
  if (size < 9_995) return { text: decimal(energyWh / 1_000, 2, locale), unit: "kWh" };
  if (size < 100_000_000) return { text: decimal(energyWh / 1_000, 1, locale), unit: "kWh" };
  return { text: decimal(energyWh / 1_000_000, 1, locale), unit: "MWh" };
}

export function percent(share: number | null | undefined, locale: string): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return NO_VALUE;
  return `${decimal(Math.round(share * 100), 0, locale)}${locale.startsWith("fr") ? "\u202f" : ""}%`;
}

export function spoken(figure: Figure): string {
  return figure.unit ? `${figure.text}${SPACE}${figure.unit}` : figure.text;
}

export function decimal(value: number, digits: number, locale: string): string {
  const rounded = Number(value.toFixed(digits)) + 0; // + 0 turns −0 into 0
  return new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(
    rounded,
  );
}
