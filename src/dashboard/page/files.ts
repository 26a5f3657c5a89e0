// Made by tools/dashboard_page.ts.
/** The files of the page. */
import { APP_JS } from "./app_js.ts";
import { CHART_JS } from "./chart_js.ts";
import { CONFIRM_JS } from "./confirm_js.ts";
import { ELEMENTS_JS } from "./elements_js.ts";
import { EVENTS_JS } from "./events_js.ts";
import { FORMAT_JS } from "./format_js.ts";
import { ICON_SVG } from "./icon_svg.ts";
import { INDEX_HTML } from "./index_html.ts";
import { LETTERS_JS } from "./letters_js.ts";
import { LIVE_JS } from "./live_js.ts";
import { STYLE_CSS } from "./style_css.ts";
import { TABLE_JS } from "./table_js.ts";
import { TABLES_JS } from "./tables_js.ts";
import { TILES_JS } from "./tiles_js.ts";

/** A file, and its content type. */
export interface PageFile {
  readonly type: string;
  readonly text: string;
}

/** By name. */
export const PAGE_FILES: Readonly<Record<string, PageFile>> = {
  "app.js": { type: "text/javascript; charset=utf-8", text: APP_JS },
  "chart.js": { type: "text/javascript; charset=utf-8", text: CHART_JS },
  "confirm.js": { type: "text/javascript; charset=utf-8", text: CONFIRM_JS },
  "elements.js": { type: "text/javascript; charset=utf-8", text: ELEMENTS_JS },
  "events.js": { type: "text/javascript; charset=utf-8", text: EVENTS_JS },
  "format.js": { type: "text/javascript; charset=utf-8", text: FORMAT_JS },
  "icon.svg": { type: "image/svg+xml", text: ICON_SVG },
  "index.html": { type: "text/html; charset=utf-8", text: INDEX_HTML },
  "letters.js": { type: "text/javascript; charset=utf-8", text: LETTERS_JS },
  "live.js": { type: "text/javascript; charset=utf-8", text: LIVE_JS },
  "style.css": { type: "text/css; charset=utf-8", text: STYLE_CSS },
  "table.js": { type: "text/javascript; charset=utf-8", text: TABLE_JS },
  "tables.js": { type: "text/javascript; charset=utf-8", text: TABLES_JS },
  "tiles.js": { type: "text/javascript; charset=utf-8", text: TILES_JS },
};
