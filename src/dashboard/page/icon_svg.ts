// Made by tools/dashboard_page.ts.
/** icon.svg */
export const ICON_SVG: string = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
  <path d="M3 4 L13 4 L8 13 Z" fill="none" stroke="#2f7d6b" stroke-width="1.5" />
  <circle cx="3" cy="4" r="2.5" fill="#2f7d6b" />
  <circle cx="13" cy="4" r="2.5" fill="#2f7d6b" />
  <circle cx="8" cy="13" r="2.5" fill="#2f7d6b" />
</svg>
`;
