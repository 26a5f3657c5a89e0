// Made by tools/dashboard_page.ts.
/** controls.css */
export const CONTROLS_CSS: string = `/* What is operated, and graphs. */
button,
select,
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

.read-only .change {
  display: none;
}

.bar {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 6px 12px;
  margin-bottom: 8px;
}

.bar label {
  color: var(--dim);
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
  stroke: var(--spark);
  stroke-width: 1.5;
  vector-effect: non-scaling-stroke;
}

.spark .line1 {
  stroke: var(--spark2);
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

#said:empty {
  display: none;
}
`;
