/** Towns to find one's way by: the seat of every department, and the large ones beside them. */

export interface Town {
  department: string;
  name: string;
  latitude: number;
  longitude: number;
  /** 0: drawn at once; 1: from half-way in; 2: close by. */
  rank: number;
}

const SEATS = `
01 Bourg-en-Bresse 46.205 5.226 2|02 Laon 49.564 3.624 2|03 Moulins 46.566 3.333 2|04 Digne-les-Bains 44.092 6.236 2
05 Gap 44.559 6.079 1|06 Nice 43.703 7.266 0|07 Privas 44.735 4.599 2|08 Charleville-Mézières 49.762 4.720 1
09 Foix 42.965 1.607 2|10 Troyes 48.297 4.074 1|11 Carcassonne 43.213 2.351 1|12 Rodez 44.350 2.575 1
13 Marseille 43.296 5.370 0|14 Caen 49.183 -0.371 1|15 Aurillac 44.927 2.444 2|16 Angoulême 45.648 0.156 1
17 La_Rochelle 46.160 -1.151 1|18 Bourges 47.081 2.399 1|19 Tulle 45.268 1.770 2|2A Ajaccio 41.919 8.738 1
2B Bastia 42.698 9.450 1|21 Dijon 47.322 5.041 0|22 Saint-Brieuc 48.514 -2.765 1|23 Guéret 46.171 1.872 2
24 Périgueux 45.184 0.721 1|25 Besançon 47.238 6.024 1|26 Valence 44.933 4.892 1|27 Évreux 49.024 1.151 2
28 Chartres 48.444 1.489 2|29 Quimper 47.996 -4.102 1|30 Nîmes 43.837 4.360 1|31 Toulouse 43.604 1.444 0
32 Auch 43.646 0.585 2|33 Bordeaux 44.838 -0.579 0|34 Montpellier 43.611 3.877 0|35 Rennes 48.117 -1.678 0
36 Châteauroux 46.811 1.687 2|37 Tours 47.394 0.685 1|38 Grenoble 45.188 5.724 1|39 Lons-le-Saunier 46.675 5.555 2
40 Mont-de-Marsan 43.890 -0.500 2|41 Blois 47.586 1.331 2|42 Saint-Étienne 45.440 4.387 1|43 Le_Puy-en-Velay 45.043 3.885 2
44 Nantes 47.218 -1.554 0|45 Orléans 47.903 1.909 1|46 Cahors 44.447 1.441 2|47 Agen 44.203 0.616 2
48 Mende 44.518 3.500 2|49 Angers 47.473 -0.554 1|50 Saint-Lô 49.116 -1.090 2|51 Châlons-en-Champagne 48.957 4.363 2
52 Chaumont 48.111 5.139 2|53 Laval 48.073 -0.770 2|54 Nancy 48.692 6.184 1|55 Bar-le-Duc 48.772 5.161 2
56 Vannes 47.658 -2.760 1|57 Metz 49.120 6.176 1|58 Nevers 46.990 3.159 1|59 Lille 50.629 3.057 0
60 Beauvais 49.430 2.081 2|61 Alençon 48.431 0.091 2|62 Arras 50.291 2.777 2|63 Clermont-Ferrand 45.777 3.087 0
64 Pau 43.295 -0.371 1|65 Tarbes 43.233 0.078 2|66 Perpignan 42.699 2.895 1|67 Strasbourg 48.573 7.752 0
68 Colmar 48.079 7.358 2|69 Lyon 45.764 4.836 0|70 Vesoul 47.624 6.155 2|71 Mâcon 46.306 4.829 2
72 Le_Mans 48.006 0.199 1|73 Chambéry 45.565 5.920 2|74 Annecy 45.899 6.129 1|75 Paris 48.857 2.352 0
76 Rouen 49.443 1.099 1|77 Melun 48.540 2.661 2|78 Versailles 48.804 2.130 2|79 Niort 46.324 -0.464 2
80 Amiens 49.894 2.296 1|81 Albi 43.928 2.148 2|82 Montauban 44.018 1.355 2|83 Toulon 43.124 5.928 1
84 Avignon 43.949 4.806 1|85 La_Roche-sur-Yon 46.670 -1.427 2|86 Poitiers 46.580 0.340 1|87 Limoges 45.834 1.262 0
88 Épinal 48.173 6.450 2|89 Auxerre 47.798 3.573 2|90 Belfort 47.640 6.863 2|91 Évry 48.624 2.429 2
92 Nanterre 48.892 2.207 2|93 Bobigny 48.906 2.440 2|94 Créteil 48.790 2.455 2|95 Cergy 49.036 2.076 2
971 Basse-Terre 15.997 -61.732 0|972 Fort-de-France 14.609 -61.073 0|973 Cayenne 4.937 -52.330 0
974 Saint-Denis 20.882S 55.450 0|976 Mamoudzou 12.781S 45.228 0`;

const BESIDE = `
29 Brest 48.390 -4.486 0|76 Le_Havre 49.494 0.108 1|51 Reims 49.258 4.032 1|59 Dunkerque 51.034 2.377 1
50 Cherbourg 49.634 -1.622 1|56 Lorient 47.748 -3.366 2|44 Saint-Nazaire 47.273 -2.214 2|35 Saint-Malo 48.649 -2.026 2
64 Bayonne 43.493 -1.475 1|68 Mulhouse 47.750 7.336 1|62 Calais 50.951 1.859 1|62 Boulogne-sur-Mer 50.726 1.614 2
06 Cannes 43.552 7.017 2|13 Aix-en-Provence 43.529 5.447 2|13 Arles 43.677 4.628 2|34 Béziers 43.344 3.216 2
11 Narbonne 43.184 3.004 2|30 Alès 44.125 4.081 2|26 Montélimar 44.558 4.751 2|26 Die 44.753 5.371 2
26 Crest 44.729 5.023 2|38 Vienne 45.525 4.874 2|05 Briançon 44.899 6.643 2|73 Albertville 45.676 6.393 2
74 Thonon-les-Bains 46.371 6.479 2|03 Montluçon 46.340 2.603 2|03 Vichy 46.128 3.426 2|42 Roanne 46.036 4.069 2
71 Chalon-sur-Saône 46.781 4.854 2|19 Brive-la-Gaillarde 45.159 1.533 2|17 Saintes 45.746 -0.633 2|17 Royan 45.628 -1.028 2
24 Bergerac 44.853 0.483 2|33 Arcachon 44.658 -1.168 2|40 Dax 43.710 -1.054 2|12 Millau 44.100 3.078 2
81 Castres 43.606 2.242 2|49 Cholet 47.060 -0.879 2|79 Bressuire 46.841 -0.493 2|29 Morlaix 48.578 -3.828 2
22 Lannion 48.732 -3.459 2|76 Dieppe 49.923 1.078 2|80 Abbeville 50.105 1.836 2|02 Saint-Quentin 49.847 3.287 2
02 Soissons 49.382 3.324 2|52 Saint-Dizier 48.638 4.949 2|57 Sarreguemines 49.110 7.068 2|67 Haguenau 48.816 7.790 2
77 Meaux 48.960 2.888 2|77 Fontainebleau 48.405 2.702 2|45 Montargis 47.997 2.733 2|18 Vierzon 47.222 2.069 2
2A Porto-Vecchio 41.591 9.280 2|2B Calvi 42.567 8.757 2|2B Corte 42.306 9.150 2|83 Draguignan 43.537 6.465 2
04 Manosque 43.829 5.783 2|84 Orange 44.138 4.808 2|07 Aubenas 44.620 4.390 2|15 Saint-Flour 45.034 3.093 2
971 Pointe-à-Pitre 16.241 -61.533 0|972 Le_Lamentin 14.615 -61.000 2|972 Saint-Pierre 14.743 -61.176 2
973 Kourou 5.160 -52.650 1|973 Saint-Laurent-du-Maroni 5.502 -54.030 1
974 Saint-Pierre 21.339S 55.478 1|974 Saint-Paul 21.010S 55.270 2|974 Saint-Benoît 21.034S 55.713 2
976 Sada 12.850S 45.104 2|971 Saint-François 16.252 -61.274 2`;

export const TOWNS: readonly Town[] = [...parsed(SEATS), ...parsed(BESIDE)];
const SEAT_COUNT = parsed(SEATS).length;

function parsed(lines: string): Town[] {
  return lines
    .trim()
    .split(/[|\n]/)
    .map((line) => {
      const [department = "", name = "", latitude = "", longitude = "", rank = ""] = line.split(" ");
      const south = latitude.endsWith("S") ? -1 : 1;
      return {
        department,
        name: name.replaceAll("_", " "),
        latitude: south * Number.parseFloat(latitude),
        longitude: Number(longitude),
        rank: Number(rank),
      };
    });
}

/** The seat of the department that a postcode begins with; Corsica's 20 is two departments. */
export function seatOfPostcode(postcode: string): Town | undefined {
  const department = departmentOfPostcode(postcode);
  return TOWNS.slice(0, SEAT_COUNT).find((town) => town.department === department);
}

export function departmentOfPostcode(postcode: string): string {
  if (postcode.startsWith("20")) return postcode >= "20200" ? "2B" : "2A";
  return postcode.slice(0, postcode.startsWith("97") ? 3 : 2);
}
