"""French communes for made-up sites: commune, department, latitude, longitude (town centre, two decimals)."""

from typing import Final, NamedTuple


class Place(NamedTuple):
    commune: str
    department: str
    latitude: float
    longitude: float


PLACES: Final = (
    Place("Crest", "26", 44.73, 5.02),
    Place("Die", "26", 44.75, 5.37),
    Place("Lille", "59", 50.63, 3.06),
    Place("Arras", "62", 50.29, 2.78),
    Place("Amiens", "80", 49.89, 2.30),
    Place("Rouen", "76", 49.44, 1.10),
    Place("Caen", "14", 49.18, -0.37),
    Place("Saint-Lô", "50", 49.12, -1.09),
    Place("Rennes", "35", 48.11, -1.68),
    Place("Quimper", "29", 48.00, -4.10),
    Place("Vannes", "56", 47.66, -2.76),
    Place("Nantes", "44", 47.22, -1.55),
    Place("Angers", "49", 47.47, -0.55),
    Place("Laval", "53", 48.07, -0.77),
    Place("Le Mans", "72", 48.00, 0.20),
    Place("Tours", "37", 47.39, 0.69),
    Place("Orléans", "45", 47.90, 1.90),
    Place("Chartres", "28", 48.45, 1.49),
    Place("Montreuil", "93", 48.86, 2.44),
    Place("Reims", "51", 49.26, 4.03),
    Place("Metz", "57", 49.12, 6.18),
    Place("Strasbourg", "67", 48.58, 7.75),
    Place("Colmar", "68", 48.08, 7.36),
    Place("Épinal", "88", 48.17, 6.45),
    Place("Dijon", "21", 47.32, 5.04),
    Place("Besançon", "25", 47.24, 6.02),
    Place("Nevers", "58", 46.99, 3.16),
    Place("Bourges", "18", 47.08, 2.40),
    Place("Poitiers", "86", 46.58, 0.34),
    Place("La Rochelle", "17", 46.16, -1.15),
    Place("Limoges", "87", 45.83, 1.26),
    Place("Clermont-Ferrand", "63", 45.78, 3.08),
    Place("Lyon", "69", 45.76, 4.84),
    Place("Annecy", "74", 45.90, 6.13),
    Place("Grenoble", "38", 45.19, 5.72),
    Place("Gap", "05", 44.56, 6.08),
    Place("Bordeaux", "33", 44.84, -0.58),
    Place("Agen", "47", 44.20, 0.62),
    Place("Pau", "64", 43.30, -0.37),
    Place("Toulouse", "31", 43.60, 1.44),
    Place("Rodez", "12", 44.35, 2.57),
    Place("Montpellier", "34", 43.61, 3.88),
    Place("Perpignan", "66", 42.69, 2.90),
    Place("Avignon", "84", 43.95, 4.81),
    Place("Toulon", "83", 43.12, 5.93),
    Place("Ajaccio", "2A", 41.92, 8.74),
)
