/**
 * The part of ECharts that the portal draws with; loaded when the first chart comes into view.
 *
 * None of its own words are shown: labels, tips and descriptions come from the page's catalogue, so it needs no locale.
 */

import { BarChart, LineChart } from "echarts/charts";
import { GridComponent, TooltipComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

use([LineChart, BarChart, GridComponent, TooltipComponent, CanvasRenderer]);

export type { ECharts, EChartsCoreOption } from "echarts/core";
export { init };
