/** The pieces of the world that the map shows: mainland France with its neighbours, and the places overseas. */

export interface Region {
  code: string;
  name: string;
  timezone: string;
  west: number;
  south: number;
  east: number;
  north: number;
}

/** Bounds in degrees, with some sea around. Codes are those that postcodes begin with; the mainland has many. */
export const REGIONS: readonly Region[] = [
  {
    code: "",
    name: "France",
    timezone: "Europe/Paris",
    west: -7.5,
    south: 40.2,
    east: 12,
    north: 52.2,
  },
  region("971", "Guadeloupe", "America/Guadeloupe", [-62, 15.7, -60.8, 16.7]),
  region("972", "Martinique", "America/Martinique", [-61.5, 14.2, -60.6, 15.1]),
  region("973", "Guyane", "America/Cayenne", [-55.5, 1.5, -50.5, 6.5]),
  region("974", "La Réunion", "Indian/Reunion", [54.9, -21.7, 56.1, -20.6]),
  region("976", "Mayotte", "Indian/Mayotte", [44.8, -13.2, 45.5, -12.5]),
];

function region(code: string, name: string, timezone: string, bounds: [number, number, number, number]): Region {
  const [west, south, east, north] = bounds;
  return { code, name, timezone, west, south, east, north };
}

export function regionAt(longitude: number, latitude: number): Region | undefined {
  return REGIONS.find(
    ({ west, south, east, north }) => west <= longitude && longitude <= east && south <= latitude && latitude <= north,
  );
}

/** The region that a French postcode belongs to: the mainland unless it says otherwise. */
export function regionOfPostcode(postcode: string): Region {
  return REGIONS.find(({ code }) => code !== "" && postcode.startsWith(code)) ?? (REGIONS[0] as Region);
}
