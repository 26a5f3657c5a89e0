// Made by tools/dashboard_page.ts.
/** tables.css */
export const TABLES_CSS: string = `/* Sections and their tables. */
main {
  display: grid;
  grid-template-columns: minmax(0, 1fr);
  gap: 14px;
  padding: 14px 16px 40px;
}

main:focus {
  outline: none;
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

#tiles dt {
  color: var(--dim);
}

#tiles dd {
  margin: 0;
  font-size: 26px;
  font-weight: 600;
  line-height: 1.25;
}

#tiles dd.note {
  font-size: 13px;
  font-weight: 400;
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
.note {
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
#nodes .frame {
  max-height: 32rem;
  overflow-y: auto;
}

thead th {
  position: sticky;
  top: 0;
  background: var(--card);
}

table {
  width: 100%;
  border-collapse: collapse;
}

th {
  padding: 4px 10px 4px 0;
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
  overflow-wrap: anywhere;
}

td.wide {
  max-width: 34rem;
}

td.wide > span {
  display: -webkit-box;
  overflow: hidden;
  -webkit-box-orient: vertical;
  -webkit-line-clamp: 2;
  line-clamp: 2;
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

.state::before {
  content: "";
  display: inline-block;
  width: 8px;
  height: 8px;
  margin-right: 6px;
  border-radius: 50%;
  background: currentColor;
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

.detail td {
  max-width: none;
}
`;
