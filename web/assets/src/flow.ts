/** Which power goes where: a site's four powers split over the links between sun, house, grid and battery. */

export interface PowerFlow {
  pv_power_w: number | null;
  grid_power_w: number | null; // + import, − export
  battery_power_w: number | null; // + charge, − discharge
  load_power_w: number | null;
  battery_soc_pct: number | null;
}

export const LINKS = [
  "pv-load",
  "pv-grid",
  "pv-battery",
  "grid-load",
  "grid-battery",
  "battery-load",
  "battery-grid",
] as const;
export type Link = (typeof LINKS)[number];

/** W per link. Solar feeds the house first, then the battery, then the grid; what is not known counts as nothing. */
export function splitFlow(flow: PowerFlow): Record<Link, number> {
  const pv = Math.max(0, flow.pv_power_w ?? 0);
  const imported = Math.max(0, flow.grid_power_w ?? 0);
  const exported = Math.max(0, -(flow.grid_power_w ?? 0));
  const charge = Math.max(0, flow.battery_power_w ?? 0);
  const discharge = Math.max(0, -(flow.battery_power_w ?? 0));
  const load = Math.max(0, flow.load_power_w ?? pv + imported + discharge - exported - charge);

  const pvLoad = Math.min(pv, load);
  const pvBattery = Math.min(pv - pvLoad, charge);
  const batteryLoad = Math.min(discharge, load - pvLoad);
  const gridBattery = Math.min(imported, charge - pvBattery);
  return {
    "pv-load": pvLoad,
    "pv-battery": pvBattery,
    "pv-grid": Math.min(pv - pvLoad - pvBattery, exported),
    "battery-load": batteryLoad,
    "battery-grid": Math.min(discharge - batteryLoad, exported),
    "grid-battery": gridBattery,
    "grid-load": Math.min(imported - gridBattery, load - pvLoad - batteryLoad),
  };
}

/** Below this a link rests: meters tremble around zero. */
export const LINK_MIN_W = 15;

/** How fast the dots run, as a factor of their slowest pace: doubling the power adds one step, so 100 W and 100 kW both read. */
export function dotPace(powerW: number): number {
  if (powerW < LINK_MIN_W) return 0;
  return Math.min(8, 1 + 0.6 * Math.log2(powerW / LINK_MIN_W));
}
