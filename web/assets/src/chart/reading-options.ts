/** Readings as a file tells them, as ECharts options: a line each, an axis for each unit. */

import type { EChartsCoreOption } from "./echarts";
import type { Palette } from "./palette";

export interface ReadingSeries {
  labels: string[]; // the times, in words
  curves: ReadingCurve[];
}

export interface ReadingCurve {
  name: string;
  unit: string;
  values: (number | null)[];
}

/** As the legend's swatches beside it. */
const COLOURS: (keyof Palette)[] = ["sun", "import", "export", "battery", "load", "own"];
const AXES_NAMED = 2; // on the left and on the right; further units are drawn to a scale of their own

export function readingOptions(
  series: ReadingSeries,
  colours: Palette,
  locale: string,
  hidden: Set<string>,
): EChartsCoreOption {
  const shown = series.curves
    .map((curve, index) => ({ ...curve, colour: colours[COLOURS[index % COLOURS.length] ?? "ink"] }))
    .filter((curve) => !hidden.has(`reading ${curve.name}`));
  const units = [...new Set(shown.map((curve) => curve.unit))];
  const short = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
  const exact = new Intl.NumberFormat(locale, { maximumFractionDigits: 3 });
  return {
    animation: false,
    textStyle: { fontFamily: colours.font },
    grid: { left: 4, right: 8, top: 30, bottom: 4, containLabel: true },
    tooltip: {
      trigger: "axis",
      renderMode: "richText", // HTML tips need inline styles, which the content security policy forbids
      confine: true,
      backgroundColor: colours.surface,
      borderColor: colours.line,
      textStyle: { color: colours.ink, fontSize: 13, lineHeight: 20 },
      axisPointer: { lineStyle: { color: colours.muted } },
      formatter: (points: { dataIndex: number }[]) => tip(series.labels, shown, points[0]?.dataIndex ?? 0, exact),
    },
    xAxis: {
      type: "category",
      data: series.labels,
      axisLine: { onZero: false, lineStyle: { color: colours.muted } },
      axisTick: { show: false },
      axisLabel: { color: colours.muted, fontSize: 12, hideOverlap: true },
    },
    yAxis: units.map((unit, index) => ({
      type: "value",
      scale: true,
      show: index < AXES_NAMED,
      position: index === 0 ? "left" : "right",
      name: unit,
      nameTextStyle: { color: colours.muted, fontSize: 12 },
      axisLabel: { color: colours.muted, fontSize: 12, formatter: (value: number) => short.format(value) },
      splitLine: { show: index === 0, lineStyle: { color: colours.line } },
    })),
    series: shown.map((curve) => ({
      type: "line",
      name: curve.name,
      yAxisIndex: units.indexOf(curve.unit),
      data: curve.values,
      showSymbol: curve.values.length < 3,
      connectNulls: false,
      silent: true,
      lineStyle: { color: curve.colour, width: 1.75 },
      itemStyle: { color: curve.colour },
    })),
  };
}

export function tip(labels: string[], curves: ReadingCurve[], index: number, numbers: Intl.NumberFormat): string {
  const lines = [labels[index] ?? ""];
  for (const { name, unit, values } of curves) {
    const value = values[index];
    lines.push(
      `${name}  ${value === null || value === undefined ? "—" : `${numbers.format(value)}\u00a0${unit}`.trim()}`,
    );
  }
  return lines.join("\n");
}
