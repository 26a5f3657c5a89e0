/** The style sheet of the dashboard's page. */

/**
 * The page's file page.css.
 * @decides the colors and layout of the page (CSS), light and dark
 */
export const STYLE = `/* Colors, and the frame of the page. */
:root {
  color-scheme: light dark;
  --ground: #f5f6f4;
  --card: #ffffff;
  --text: #1b2321;
  --dim: #59655f;
  --line: #dde2df;
  --accent: #1f6f5c;
  --good: #1d7044;
  --warn: #8a5300;
  --bad: #b3261e;
}

@media (prefers-color-scheme: dark) {
  :root {
    --ground: #121715;
    --card: #1b2220;
    --text: #e6ebe8;
    --dim: #9aa8a1;
    --line: #2d3733;
    --accent: #6fcbb1;
    --good: #6fd193;
    --warn: #f0b357;
    --bad: #ff8f86;
  }
}

* {
  box-sizing: border-box;
}

[hidden] {
  display: none !important;
}

html {
  scroll-padding-top: 4rem;
}

body {
  margin: 0;
  background: var(--ground);
  color: var(--text);
  font: 14px/1.45 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}

body.stale main {
  opacity: 0.55;
}

a {
  color: var(--accent);
}

:focus-visible {
  outline: 2px solid var(--accent);
  outline-offset: 2px;
}

.skip {
  position: absolute;
  left: 8px;
  top: 8px;
  z-index: 3;
  padding: 6px 10px;
  background: var(--card);
}

header {
  position: sticky;
  top: 0;
  z-index: 2;
  display: flex;
  flex-wrap: wrap;
  align-items: baseline;
  gap: 4px 18px;
  padding: 10px 16px;
  background: var(--card);
  border-bottom: 1px solid var(--line);
}

h1 {
  margin: 0;
  font-size: 17px;
}

h1 span {
  margin-left: 6px;
  font-weight: 400;
  color: var(--dim);
}

h2 {
  margin: 0 0 8px;
  font-size: 15px;
}

#connection,
#all-well {
  margin: 0;
}

#connection::before,
.state::before {
  content: "";
  display: inline-block;
  width: 8px;
  height: 8px;
  margin-right: 6px;
  border-radius: 50%;
  background: currentColor;
}

nav {
  display: flex;
  flex-wrap: wrap;
  gap: 2px 14px;
  margin-left: auto;
}

nav a {
  text-decoration: none;
}

nav a:hover {
  text-decoration: underline;
}

#problems {
  margin: 12px 16px 0;
  padding: 8px 12px 8px 28px;
  border: 1px solid var(--bad);
  border-radius: 8px;
  background: var(--card);
  color: var(--bad);
  overflow-wrap: anywhere;
}

/* Sections and their tables. */
main {
  display: grid;
  grid-template-columns: minmax(0, 1fr);
  gap: 14px;
  padding: 14px 16px 40px;
}

main:focus {
  outline: none;
}

/* What is far from the screen is neither laid out nor painted, however much changes there. */
main > section {
  content-visibility: auto;
  contain-intrinsic-size: auto 20rem;
}

section,
#tiles > div {
  min-width: 0;
  padding: 12px 14px;
  border: 1px solid var(--line);
  border-radius: 10px;
  background: var(--card);
}

#tiles {
  display: grid;
  grid-template-columns: repeat(auto-fit, minmax(112px, 1fr));
  gap: 10px;
  margin: 0;
}

#tiles dd {
  margin: 0;
  font-size: 24px;
  font-weight: 600;
  line-height: 1.35;
  white-space: nowrap;
}

#tiles dd.note {
  font-size: 13px;
  font-weight: 400;
  line-height: 1.25;
  white-space: normal;
  overflow-wrap: anywhere;
}

.good {
  color: var(--good);
}

.warn {
  color: var(--warn);
}

.bad {
  color: var(--bad);
}

.dim,
.note,
.bar label,
#tiles dt {
  color: var(--dim);
}

.note {
  margin: 4px 0 0;
}

.code,
pre {
  font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 12px;
}

.frame {
  overflow-x: auto;
}

#events .frame,
#letters .frame,
#retries .frame,
#timeline .frame,
#nodes .frame {
  max-height: 32rem;
  overflow-y: auto;
}

table {
  width: 100%;
  border-collapse: collapse;
}

th {
  position: sticky;
  top: 0;
  padding: 4px 10px 4px 0;
  background: var(--card);
  border-bottom: 1px solid var(--line);
  color: var(--dim);
  font-weight: 500;
  text-align: left;
  white-space: nowrap;
}

td {
  max-width: 22rem;
  padding: 5px 10px 5px 0;
  border-bottom: 1px solid var(--line);
  vertical-align: top;
  overflow-wrap: break-word;
}

td.wide {
  max-width: 34rem;
}

td.wide > span,
td > .long {
  display: -webkit-box;
  overflow: hidden;
  -webkit-box-orient: vertical;
  -webkit-line-clamp: 2;
  line-clamp: 2;
}

td.wide > span.whole {
  display: inline;
  overflow: visible;
}

td > .long {
  overflow-wrap: anywhere;
}

td > .long:focus {
  display: block;
}

#alarms:not(.quiet) {
  border-color: var(--bad);
}

.unseen:not(:focus) {
  position: absolute;
  width: 1px;
  height: 1px;
  margin: 0;
  overflow: hidden;
  clip-path: inset(50%);
}

#groups {
  margin-bottom: 12px;
}

tbody tr:last-child td {
  border-bottom: 0;
}

th.number,
td.number {
  padding-right: 20px;
  text-align: right;
  white-space: nowrap;
}

.state {
  white-space: nowrap;
}

.state.bad::before {
  border-radius: 0;
}

.state.warn::before {
  clip-path: polygon(50% 0, 100% 100%, 0 100%);
  border-radius: 0;
}

td.actions {
  padding-right: 0;
  text-align: right;
  white-space: nowrap;
}

.detail pre {
  max-height: 26rem;
  margin: 0;
  padding: 10px;
  overflow: auto;
  border-radius: 6px;
  background: var(--ground);
  white-space: pre-wrap;
  overflow-wrap: anywhere;
}

#alarms td.wide,
.detail td {
  max-width: none;
}

#alarms td.wide,
#letters td.wide {
  overflow-wrap: anywhere;
}

/* What is operated, and graphs. */
button,
select,
textarea,
input {
  padding: 3px 9px;
  border: 1px solid var(--line);
  border-radius: 6px;
  background: var(--ground);
  color: var(--text);
  font: inherit;
}

button {
  cursor: pointer;
}

td button {
  margin-left: 4px;
  font-size: 13px;
}

button:hover:not(:disabled) {
  border-color: var(--accent);
}

button:disabled {
  opacity: 0.5;
  cursor: default;
}

button[aria-pressed="true"] {
  border-color: var(--accent);
  color: var(--accent);
}

.strong {
  border-color: var(--bad);
  color: var(--bad);
  font-weight: 600;
}

.read-only .change,
body:not(.read-only) .no-change,
#alarms.quiet > .note,
#groups:not(:has(tbody > tr)),
#said:empty {
  display: none;
}

.bar {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 6px 12px;
  margin-bottom: 8px;
}

.bar select {
  max-width: 12rem;
}

.spark {
  display: block;
  width: 120px;
  height: 22px;
  border-bottom: 1px solid var(--line);
}

.spark path {
  fill: none;
  stroke: var(--accent);
  stroke-width: 1.5;
  vector-effect: non-scaling-stroke;
}

.spark .line1 {
  stroke: var(--bad);
}

canvas {
  display: block;
  width: 100%;
  height: 320px;
}

dialog {
  max-width: 30rem;
  border: 1px solid var(--line);
  border-radius: 10px;
  background: var(--card);
  color: var(--text);
  overflow-wrap: anywhere;
}

#confirm-fields label {
  display: block;
  margin-bottom: 10px;
}

#confirm-fields :is(input, select, textarea) {
  display: block;
  width: 100%;
  margin-top: 2px;
}

dialog::backdrop {
  background: rgb(0 0 0 / 45%);
}

#said {
  position: fixed;
  right: 16px;
  bottom: 16px;
  z-index: 2;
  max-width: calc(100vw - 32px);
  margin: 0;
  padding: 8px 14px;
  border: 1px solid var(--accent);
  border-radius: 8px;
  background: var(--card);
  overflow-wrap: anywhere;
}

/* Narrow and wide screens. */
@media (min-width: 1500px) {
  main {
    grid-template-columns: repeat(2, minmax(0, 1fr));
  }

  #alarms,
  #tiles,
  #letters,
  #entity,
  #events {
    grid-column: 1 / -1;
  }
}

@media (min-width: 2400px) {
  body {
    font-size: 17px;
  }

  #tiles dd {
    font-size: 36px;
  }

  h1 {
    font-size: 22px;
  }

  h2 {
    font-size: 18px;
  }
}

@media (max-width: 700px) {
  nav {
    margin-left: 0;
  }

  header {
    position: static;
  }

  html {
    scroll-padding-top: 0;
  }

  #tiles {
    grid-template-columns: repeat(2, minmax(0, 1fr));
    gap: 8px;
  }

  thead {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
  }

  table,
  tbody,
  tr,
  td {
    display: block;
  }

  tr {
    padding: 6px 0;
    border-bottom: 1px solid var(--line);
  }

  tbody tr:last-child {
    border-bottom: 0;
  }

  #tiles > div:last-child:nth-child(odd) {
    grid-column: 1 / -1;
  }

  td,
  td.number,
  td.wide {
    display: grid;
    grid-template-columns: 6.5rem minmax(0, 1fr);
    max-width: none;
    padding: 1px 0;
    border: 0;
    text-align: left;
    white-space: normal;
  }

  td::before {
    content: attr(data-title);
    color: var(--dim);
  }

  td.actions {
    display: flex;
    gap: 4px;
    padding-top: 4px;
  }

  .detail td {
    display: block;
  }
}
`;
