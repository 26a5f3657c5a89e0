/**
 * The files of the page, as browsers get them. The script is made of the source texts of functions: so the script is
 * checked like the rest of Catga, and is part of the package and of a compiled binary. These functions may use only
 * their parameters and browser globals.
 */
import { alarmsSection } from "./alarms.ts";
import { app } from "./app.ts";
import { shownTables } from "./tables.ts";
import { contractsSection } from "./contracts.ts";
import { entitiesSection, searchSection } from "./asked.ts";
import { elements } from "./elements.ts";
import type { Section } from "./section.ts";
import { tableMaker } from "./table.ts";
import { lettersSection } from "./letters.ts";
import { eventsSection } from "./events.ts";
import { ICON, MARKUP } from "./markup.ts";
import { runsSection } from "./runs.ts";
import { STYLE } from "./style.ts";
import { tilesSection } from "./tiles.ts";
import { trafficSection } from "./traffic.ts";

/** A file of the page, with its content type. */
export interface PageFile {
  readonly type: string;
  readonly text: string;
}

const SECTIONS: readonly Section[] = [
  alarmsSection,
  tilesSection,
  trafficSection,
  shownTables,
  contractsSection,
  lettersSection,
  eventsSection,
  runsSection,
  searchSection,
  entitiesSection,
];

const SCRIPT = `"use strict";
const elements = (${elements})();
const tables = (${tableMaker})(elements);
(${app})(elements, tables, [
${SECTIONS.map((section) => `(${section}),`).join("\n")}
]);
`;

/**
 * The files of the page, by name.
 * @decides the files of the page that browsers load; its script is put together of the other files of `page/`
 */
export const PAGE_FILES: Readonly<Record<string, PageFile>> = {
  "index.html": { type: "text/html; charset=utf-8", text: MARKUP },
  "page.css": { type: "text/css; charset=utf-8", text: STYLE },
  "app.js": { type: "text/javascript; charset=utf-8", text: SCRIPT },
  "icon.svg": { type: "image/svg+xml", text: ICON },
};
