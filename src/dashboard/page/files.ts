// Made by tools/dashboard_page.ts.
/** The files of the page. */
import { APP_JS } from "./app_js.ts";
import { BASE_CSS } from "./base_css.ts";
import { CHART_JS } from "./chart_js.ts";
import { CONFIRM_JS } from "./confirm_js.ts";
import { CONTRACTS_JS } from "./contracts_js.ts";
import { CONTROLS_CSS } from "./controls_css.ts";
import { ELEMENTS_JS } from "./elements_js.ts";
import { ENTITY_JS } from "./entity_js.ts";
import { EVENTS_JS } from "./events_js.ts";
import { FORMAT_JS } from "./format_js.ts";
import { ICON_SVG } from "./icon_svg.ts";
import { INDEX_HTML } from "./index_html.ts";
import { LETTERS_JS } from "./letters_js.ts";
import { LIVE_JS } from "./live_js.ts";
import { TABLE_JS } from "./table_js.ts";
import { TABLES_CSS } from "./tables_css.ts";
import { TABLES_JS } from "./tables_js.ts";
import { TILES_JS } from "./tiles_js.ts";
import { TRAFFIC_JS } from "./traffic_js.ts";
import { WIDTHS_CSS } from "./widths_css.ts";

/** A file, and its content type. */
export interface PageFile {
  readonly type: string;
  readonly text: string;
}

/** By name. */
export const PAGE_FILES: Readonly<Record<string, PageFile>> = {
  "app.js": { type: "text/javascript; charset=utf-8", text: APP_JS },
  "base.css": { type: "text/css; charset=utf-8", text: BASE_CSS },
  "chart.js": { type: "text/javascript; charset=utf-8", text: CHART_JS },
  "confirm.js": { type: "text/javascript; charset=utf-8", text: CONFIRM_JS },
  "contracts.js": { type: "text/javascript; charset=utf-8", text: CONTRACTS_JS },
  "controls.css": { type: "text/css; charset=utf-8", text: CONTROLS_CSS },
  "elements.js": { type: "text/javascript; charset=utf-8", text: ELEMENTS_JS },
  "entity.js": { type: "text/javascript; charset=utf-8", text: ENTITY_JS },
  "events.js": { type: "text/javascript; charset=utf-8", text: EVENTS_JS },
  "format.js": { type: "text/javascript; charset=utf-8", text: FORMAT_JS },
  "icon.svg": { type: "image/svg+xml", text: ICON_SVG },
  "index.html": { type: "text/html; charset=utf-8", text: INDEX_HTML },
  "letters.js": { type: "text/javascript; charset=utf-8", text: LETTERS_JS },
  "live.js": { type: "text/javascript; charset=utf-8", text: LIVE_JS },
  "table.js": { type: "text/javascript; charset=utf-8", text: TABLE_JS },
  "tables.css": { type: "text/css; charset=utf-8", text: TABLES_CSS },
  "tables.js": { type: "text/javascript; charset=utf-8", text: TABLES_JS },
  "tiles.js": { type: "text/javascript; charset=utf-8", text: TILES_JS },
  "traffic.js": { type: "text/javascript; charset=utf-8", text: TRAFFIC_JS },
  "widths.css": { type: "text/css; charset=utf-8", text: WIDTHS_CSS },
};
