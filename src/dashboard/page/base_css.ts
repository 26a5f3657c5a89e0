// Made by tools/dashboard_page.ts.
/** base.css */
export const BASE_CSS: string = `/* Colors, and the frame of the page. */
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
  --spark: #1f6f5c;
  --spark2: #b3261e;
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
    --spark: #6fcbb1;
    --spark2: #ff8f86;
  }
}

* {
  box-sizing: border-box;
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
  left: -999px;
}

.skip:focus {
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

#connection {
  margin: 0;
}

#connection::before {
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
`;
