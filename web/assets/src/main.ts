/** Everything that a page loads: styles, htmx, and the islands that it finds. */

import htmx from "htmx.org";
import "./styles/index.css";
import "./islands/copy-text";
import "./islands/energy-chart";
import "./islands/energy-flow";
import "./islands/fleet-counters";
import "./islands/kept-form";
import "./islands/live-age";
import "./islands/live-lists";
import "./islands/pdl-field";
import "./islands/pv-arrays";
import "./islands/scan-code";
import "./islands/site-place";
import "./islands/state-watch";
import "./islands/upload-files";
import "./islands/waiting-forms";
import "./periods";
import { keepSession } from "./session";

// The content security policy forbids evaluated code and injected styles; nothing here needs them.
htmx.config.allowEval = false;
htmx.config.includeIndicatorStyles = false;
htmx.config.historyCacheSize = 0; // pages of one person do not stay in the browser's storage for the next
htmx.config.refreshOnHistoryMiss = true;
htmx.config.scrollIntoViewOnBoost = false;

// A page out of the browser's memory whose forms make new things each time asks for new names for them.
addEventListener("pageshow", (event) => {
  if (event.persisted && document.querySelector("[data-fresh]")) location.reload();
});

keepSession();
