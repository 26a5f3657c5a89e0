// Made by tools/dashboard_page.ts.
/** widths.css */
export const WIDTHS_CSS: string = `/* Narrow and wide screens. */
@media (min-width: 1500px) {
  main {
    grid-template-columns: repeat(2, minmax(0, 1fr));
  }

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

@media (prefers-reduced-motion: no-preference) {
  html {
    scroll-behavior: smooth;
  }
}
`;
